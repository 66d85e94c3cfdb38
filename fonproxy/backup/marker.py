"""The file in the data directory that a restore leaves there for as long as it lasts.

Of stores of which only one is restored, new customers would get the numbers of old ones. So while the file is there
no process opens the engine.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from fonproxy.backup import disk


def marker() -> Path:
    return settings.DATA_DIR / "restoring"


def begin() -> None:
    """Raises FileExistsError while another restore is at it, or when one was broken off."""
    marker().touch(mode=0o600, exist_ok=False)
    disk.flush(settings.DATA_DIR)


def end() -> None:
    marker().unlink()
    disk.flush(settings.DATA_DIR)


def complaint() -> str | None:
    """What is wrong and what to do, if a restore is under way or was broken off."""
    if not marker().exists():
        return None
    relational = "the database in DATABASE_URL" if settings.DATABASE_URL else "fonproxy.sqlite3*"
    engine = "the database in CLICKHOUSE_URL" if settings.CLICKHOUSE else "clickhouse/, clickhouse.restoring/"
    return (
        f"A restore is being made or was broken off, and the two stores may not belong together. If none is running,"
        f" empty both ({relational}; {engine}), remove {marker()}, and restore again."
    )
