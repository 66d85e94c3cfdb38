"""The views distribute a batch, and a repeated batch changes no table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv6Address
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fonproxy.clickhouse.client import Client
from tests.fonproxy.clickhouse.batches import MEASURES, NOW, ONE_ENGINE, TARGETS, batch, expected, found, parts
from tests.fonproxy.clickhouse.test_text import ANY_TEXT
from tests.thoroughness import drawn, examples

ZERO: dict[str, Any] = dict.fromkeys(MEASURES, 0)


@pytest.fixture
def now() -> datetime:
    """A time within every table's retention, so that nothing expires during the test."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def still(clean_engine: Client) -> Iterator[Client]:
    """Empty tables in which nothing is merged or expires during the test."""
    clean_engine.command("SYSTEM STOP MERGES", tag="tests")
    yield clean_engine
    clean_engine.command("SYSTEM START MERGES", tag="tests")


def test_a_batch_reaches_every_target(clean_engine: Client, now: datetime) -> None:
    rows = batch(500, over=timedelta(hours=30), now=now)

    clean_engine.insert("inbox", rows, token="reach")

    assert found(clean_engine) == expected(rows)


@pytest.mark.parametrize("over", [timedelta(0), timedelta(days=45), timedelta(days=395)])
def test_a_repeated_token_changes_no_target(still: Client, now: datetime, over: timedelta) -> None:
    rows = batch(400, over=over, now=now)
    still.insert("inbox", rows, token=f"repeat {over}")
    before = found(still), parts(still)

    still.insert("inbox", rows, token=f"repeat {over}")

    assert before[0] == expected(rows)
    assert (found(still), parts(still)) == before


def test_equal_batches_under_two_tokens_both_count(clean_engine: Client, now: datetime) -> None:
    rows = batch(10, now=now)

    clean_engine.insert("inbox", rows, token="equal 1")
    clean_engine.insert("inbox", rows, token="equal 2")

    assert found(clean_engine) == expected(rows, rows)


def test_a_full_batch_of_long_texts_is_one_part_per_partition(still: Client, now: datetime) -> None:
    size = 100_000
    rows = batch(size, over=timedelta(days=60), now=now)
    longest = pa.array([f"{i:0600d}" for i in range(size)])
    rows = rows.set_column(rows.schema.get_field_index("domain"), "domain", longest)
    assert rows.nbytes > 60_000_000

    still.insert("inbox", rows, token="full")

    assert found(still) == expected(rows)
    assert all(count == partitions for count, partitions in parts(still).values())


def test_a_batch_in_many_pieces_is_still_one_block(still: Client, now: datetime) -> None:
    pieces = pa.concat_tables([batch(3, now=now), batch(4, now=now), batch(5, now=now)])

    still.insert("inbox", pieces, token="pieces")

    assert found(still) == expected(pieces)
    assert set(parts(still).values()) == {(1, 1)}


def test_rows_with_zero_metrics_are_kept(clean_engine: Client, now: datetime) -> None:
    zeros = batch(20, now=now, **ZERO)

    clean_engine.insert("inbox", zeros, token="zeros")
    for table in TARGETS:
        clean_engine.command(f"OPTIMIZE TABLE {table} FINAL", tag="tests")

    assert found(clean_engine) == expected(zeros)


def test_merging_adds_sums_and_keeps_the_maximum(clean_engine: Client, now: datetime) -> None:
    low, high = batch(50, now=now, max_concurrency=5), batch(50, now=now, max_concurrency=9)
    clean_engine.insert("inbox", low, token="merge 1")
    clean_engine.insert("inbox", high, token="merge 2")

    for table in TARGETS:
        clean_engine.command(f"OPTIMIZE TABLE {table} FINAL", tag="tests")

    assert found(clean_engine) == expected(low, high)
    doubled = "SELECT countIf(rows != 2), uniq(max_concurrency) FROM traffic"
    assert clean_engine.fetch(doubled, tag="tests") == [(0, 1)]


def test_only_recent_rows_reach_the_minutes(clean_engine: Client, now: datetime) -> None:
    rows = batch(5, now=now, recent=0)

    clean_engine.insert("inbox", rows, token="not recent")

    assert found(clean_engine) == expected(rows)
    assert found(clean_engine)["minute_traffic"] == (0, 0, 0)


def test_times_are_rounded_down_to_each_grain(still: Client) -> None:
    still.insert("inbox", batch(1, now=NOW), token="grain")

    assert still.fetch("SELECT bucket FROM traffic", tag="tests") == [(datetime(2026, 6, 15, 12, 0, tzinfo=UTC),)]
    assert still.fetch("SELECT minute FROM minute_traffic", tag="tests") == [(NOW,)]
    assert still.fetch("SELECT day FROM daily_host", tag="tests") == [(date(2026, 6, 15),)]


@pytest.mark.parametrize(
    ("written", "stored"),
    [("10.1.2.3", "::ffff:10.1.2.3"), ("2001:DB8::1", "2001:db8::1"), ("", "::"), ("no address", "::")],
)
def test_an_address_is_stored_in_canonical_form(clean_engine: Client, now: datetime, written: str, stored: str) -> None:
    clean_engine.insert("inbox", batch(1, now=now, ip_out=written), token=f"address {written}")

    assert clean_engine.fetch("SELECT ip_out FROM traffic_detail", tag="tests") == [(IPv6Address(stored),)]


@drawn
@given(st.lists(ANY_TEXT, min_size=1, max_size=20, unique=True))
@settings(ONE_ENGINE, max_examples=examples(40))
def test_any_text_is_stored_unchanged(engine: Client, texts: list[str]) -> None:
    engine.command("TRUNCATE TABLE traffic", tag="tests")
    rows = batch(len(texts), now=datetime.now(UTC))
    rows = rows.set_column(rows.schema.get_field_index("domain"), "domain", pa.array(texts, pa.string()))

    engine.insert("inbox", rows, token=repr(texts)[-200:] + str(datetime.now(UTC)))

    assert {domain for (domain,) in engine.fetch("SELECT domain FROM traffic", tag="tests")} == set(texts)
