"""Pushing and counting, for tests of ingest."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.test import override_settings
from rest_framework.test import APIClient

from fonproxy.clickhouse.client import Client, close_client

TABLES = (
    "traffic",
    "order_traffic",
    "login_traffic",
    "minute_traffic",
    "daily_host",
    "daily_network",
    "traffic_detail",
)


def recently() -> datetime:
    """A quarter of an hour that is over, and within the retention of the minute table."""
    now = datetime.now(UTC) - timedelta(hours=1)
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


def documented_row(**changes: Any) -> dict[str, Any]:
    """The row of the published example, moved to a recent time."""
    return {
        "ts": recently().strftime("%Y-%m-%d %H:%M:%S"),
        "user_id": 1,
        "order_id": 3,
        "port": 443,
        "protocol": "HTTPS",
        "ip_out": "185.199.100.10",
        "ip_from": "78.100.50.12",
        "peer_id": "peer-001",
        "worker": "worker-01",
        "domain": "google.com",
        "error": "",
        "count": 12,
        "bytes_sent": 10240,
        "bytes_received": 524800,
        "error_count": 0,
        "duration_ms": 15000,
        "max_concurrency": 5,
        **changes,
    }


def push(client: APIClient, rows: list[dict[str, Any]], **headers: str) -> Any:
    return post(client, body_of(rows), **headers)


def body_of(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"logs": rows}).encode()


def post(client: APIClient, body: bytes, **headers: str) -> Any:
    return client.post("/analytics/ingest", body, content_type="application/json", headers=headers)


def counted(engine: Client, table: str) -> tuple[int, int]:
    """The number of rows pushed into the table, and of their requests."""
    [(rows, requests)] = engine.fetch(f"SELECT sum(rows), sum(count) FROM {table}", tag="tests")
    return rows, requests


@contextmanager
def engine_unavailable() -> Iterator[None]:
    """The engine really refuses: another process holds the lock on its directory, or nothing listens on its port."""
    close_client()
    if settings.CLICKHOUSE is not None:
        with override_settings(CLICKHOUSE=replace(settings.CLICKHOUSE, hosts=(("127.0.0.1", 1),))):
            yield
            close_client()
        return
    with (settings.DATA_DIR / "clickhouse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
