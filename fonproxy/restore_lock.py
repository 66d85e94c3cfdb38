"""The lock file that exists in the data directory during a restore.

If only one of the stores were restored, new customers would get the numbers of old ones. So while the file exists, no
process opens ClickHouse.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from fonproxy import disk


def marker() -> Path:
    return settings.DATA_DIR / "restoring"


def begin() -> None:
    """Raises FileExistsError during another restore, or after an interrupted one."""
    marker().touch(mode=0o600, exist_ok=False)
    disk.flush(settings.DATA_DIR)


def end() -> None:
    marker().unlink()
    disk.flush(settings.DATA_DIR)


def complaint() -> str | None:
    """A message with the problem and the remedy during or after an interrupted restore, else None."""
    if not marker().exists():
        return None
    relational = "the database in DATABASE_URL" if settings.DATABASE_URL else "fonproxy.sqlite3*"
    engine = "the database in CLICKHOUSE_URL" if settings.CLICKHOUSE else "clickhouse/, clickhouse.restoring/"
    return (
        f"A restore is in progress or was interrupted, and the two stores may not belong together. If none is running,"
        f" empty both ({relational}; {engine}), remove {marker()}, and restore again."
    )
