"""The statements that an engine is running."""

from __future__ import annotations

from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.profiles import log_comment


def is_running(watcher: Client, tag: str) -> bool:
    """Whether the engine of this client runs a statement of that tag."""
    return bool(
        watcher.fetch(
            "SELECT 1 FROM system.processes WHERE Settings['log_comment'] = {comment:String}",
            {"comment": log_comment(tag)},
            tag="watcher",
        )
    )
