"""Retention of each table: declared once, applied by clickhouse_migrate, respected by every read.

The engine deletes expired rows early or late by hours. So no read returns anything older than ``floor``, and ingest
accepts nothing older.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Final

from django.conf import settings

from fonproxy.clickhouse import cluster

if TYPE_CHECKING:
    from fonproxy.clickhouse.client import Client

DAY: Final = timedelta(days=1)
SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Retention:
    """A table's time column, the grain to which its times are rounded down, and the retention, if there is one."""

    column: str
    grain: timedelta
    months: int = 0
    days: int = 0

    @property
    def ttl(self) -> str | None:
        """The TTL expression exactly as the engine prints it, None when rows are kept for ever."""
        if not (self.months or self.days):
            return None
        # A Date would otherwise start at midnight of the machine's time zone; fractions of a second are not allowed.
        moment = f"toDateTime({self.column}, 'UTC')" if self.grain in (DAY, SECOND) else self.column
        return f"{moment} + " + (f"toIntervalMonth({self.months})" if self.months else f"toIntervalDay({self.days})")


def declared() -> dict[str, Retention]:
    """Every table with rows, and its retention, as declared by the schema package."""
    tables: dict[str, Retention] = import_module(settings.CLICKHOUSE_SCHEMA).retention()
    return tables


def floor(table: str, now: datetime) -> datetime:
    """The oldest instant still returned from ``table``, in UTC; 1970 if it keeps everything.

    Rounded up to the table's grain: rows at or after it have not expired.
    """
    kept = declared()[table]
    if not (kept.months or kept.days):
        return datetime.fromtimestamp(0, UTC)
    oldest = _months_before(now, kept.months) - timedelta(days=kept.days)
    epoch = datetime.fromtimestamp(0, now.tzinfo)
    return epoch + -((epoch - oldest) // kept.grain) * kept.grain


def _months_before(now: datetime, months: int) -> datetime:
    """The first instant after which nothing has expired, if rows are kept for that many months.

    Months differ in length. A row of 28 February kept for one month expires on 28 March, so on the 31st the first
    remaining row is of 1 March. In the other direction: rows of 29, 30 and 31 January kept for one month all expire on
    the last day of February, each at its time of day, so from the start of that day on the first row that surely
    remains is of 1 February.
    """
    if not months:
        return now
    index = now.year * 12 + now.month - 1 - months
    is_last_day = now.day == monthrange(now.year, now.month)[1]
    days = monthrange(index // 12, index % 12 + 1)[1]
    if now.day > days or (is_last_day and now.day < days):
        index += 1
        return now.replace(year=index // 12, month=index % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)
    return now.replace(year=index // 12, month=index % 12 + 1)


_TTL: Final = re.compile(r" TTL (.+?)(?= SETTINGS |$)")
# Safe against loss of power, not only of the process; each waits for the disk once per part.
_FSYNC: Final = ("fsync_after_insert", "fsync_part_directory")


def alterations(client: Client, database: str) -> list[str]:
    """The statements that set retention and durability of the live tables as declared; none if nothing differs."""
    sql = "SELECT name, engine_full FROM system.tables WHERE database = {database:String}"
    held_in = cluster.of_rows(database)
    engines = dict(client.fetch(sql, {"database": held_in}, tag="retention.alterations"))
    return [
        f"ALTER TABLE {cluster.everywhere(f'{held_in}.{table}')} {change}"
        for table, kept in declared().items()
        for change in _changes(kept, engines[table])
    ]


def _changes(kept: Retention, engine: str) -> list[str]:
    live = _TTL.search(engine)
    wanted = [f"{name} = {int(settings.FSYNC)}" for name in _FSYNC]
    changes = []
    if kept.ttl != (live[1] if live else None):
        changes.append(f"MODIFY TTL {kept.ttl}" if kept.ttl else "REMOVE TTL")
    if not all(setting in engine for setting in wanted):
        changes.append(f"MODIFY SETTING {', '.join(wanted)}")
    return changes
