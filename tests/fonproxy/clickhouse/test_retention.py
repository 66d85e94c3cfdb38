from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fonproxy.clickhouse import migrator, retention
from fonproxy.clickhouse.client import Client
from tests.fonproxy.clickhouse.batches import ONE_ENGINE
from tests.thoroughness import drawn, examples


@pytest.mark.parametrize(
    ("table", "now", "oldest"),
    [
        ("traffic", datetime(2026, 11, 21, 2, 7, tzinfo=UTC), datetime(2025, 10, 21, 2, 15, tzinfo=UTC)),
        ("traffic", datetime(2026, 11, 21, 2, 15, tzinfo=UTC), datetime(2025, 10, 21, 2, 15, tzinfo=UTC)),
        ("traffic", datetime(2027, 3, 31, 12, 0, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        ("minute_traffic", datetime(2026, 11, 21, 2, 7, 1, tzinfo=UTC), datetime(2026, 11, 20, 2, 8, tzinfo=UTC)),
        ("daily_host", datetime(2026, 11, 21, 2, 7, tzinfo=UTC), datetime(2026, 8, 24, tzinfo=UTC)),
        ("traffic_detail", datetime(2026, 11, 21, 2, 0, tzinfo=UTC), datetime(2026, 8, 23, 2, 0, tzinfo=UTC)),
        ("order_traffic", datetime(2026, 11, 21, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        ("daily_network", datetime(2026, 11, 21, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_floor_is_the_oldest_instant_kept(table: str, now: datetime, oldest: datetime) -> None:
    assert retention.floor(table, now) == oldest


@drawn
@given(st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)))
@example(datetime(2025, 2, 28, 23, 45, 1))
@example(datetime(2025, 2, 28, 10))
@settings(ONE_ENGINE, max_examples=examples(100))
def test_rows_above_the_retention_floor_have_not_expired(engine: Client, naive: datetime) -> None:
    now = naive.replace(microsecond=0, tzinfo=UTC)
    for table, kept in retention.declared().items():
        oldest = retention.floor(table, now)
        if kept.ttl is not None:
            assert oldest.timestamp() % kept.grain.total_seconds() == 0
            source = f"(SELECT {{oldest:DateTime('UTC')}} AS {kept.column})"
            sql = f"SELECT {kept.ttl} >= {{now:DateTime('UTC')}} FROM {source}"
            assert engine.fetch(sql, {"now": now, "oldest": oldest}, tag="tests") == [(1,)]
            if kept.days or oldest.day != 1:  # at a month's end, less is shown than is kept
                before = {"now": now, "oldest": oldest - kept.grain}
                assert engine.fetch(sql, before, tag="tests") == [(0,)]
            later = {"now": now, "oldest": oldest + timedelta(days=3)}
            assert engine.fetch(sql, later, tag="tests") == [(1,)]


def _keeping(client: Client, table: str) -> str:
    sql = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
    return str(client.fetch(sql, {"table": table}, tag="tests")[0][0])


def test_a_changed_setting_changes_the_live_tables_once(engine: Client, settings: Any) -> None:
    settings.TRAFFIC_RETENTION_MONTHS = 24
    settings.FSYNC = True
    changes = retention.alterations(engine, migrator.DATABASE)
    try:
        for statement in changes:
            engine.command(statement, tag="tests")
        assert retention.alterations(engine, migrator.DATABASE) == []
        assert "toIntervalMonth(24)" in _keeping(engine, "traffic")
        assert "fsync_after_insert = 1, fsync_part_directory = 1" in _keeping(engine, "order_traffic")
    finally:
        settings.TRAFFIC_RETENTION_MONTHS = 13
        settings.FSYNC = False
        for statement in retention.alterations(engine, migrator.DATABASE):
            engine.command(statement, tag="tests")


def test_rows_are_kept_when_the_retention_is_raised(clean_engine: Client) -> None:
    clean_engine.command(
        "CREATE TABLE longer (t DateTime('UTC'), n UInt64) ENGINE = SummingMergeTree(n) ORDER BY t"
        " TTL t + toIntervalSecond(2)"
        " SETTINGS ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1, merge_with_ttl_timeout = 0",
        tag="tests",
    )
    try:
        clean_engine.command("SYSTEM STOP TTL MERGES longer", tag="tests")
        clean_engine.command("INSERT INTO longer SELECT now() - 60, 1", tag="tests")
        clean_engine.command("ALTER TABLE longer MODIFY TTL t + toIntervalDay(2)", tag="tests")
        clean_engine.command("SYSTEM START TTL MERGES longer", tag="tests")
        clean_engine.command("OPTIMIZE TABLE longer FINAL", tag="tests")
        assert clean_engine.fetch("SELECT sum(n) FROM longer", tag="tests") == [(1,)]
    finally:
        clean_engine.command("DROP TABLE longer SYNC", tag="tests")
