"""Batches of few rows are lists: they hold the same rows as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.byteful.log.ingest_columns import pushed_requests, to_request_inbox
from analytics.ingest import columns, journal, lists
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import pushed_rows, to_inbox
from tests.analytics.helpers import body_of, documented_row

NOW = datetime(2026, 11, 20, 12, 30, 15, 250_000, tzinfo=UTC)

times = st.datetimes(
    (NOW - timedelta(days=390)).replace(tzinfo=None), (NOW + timedelta(hours=23)).replace(tzinfo=None)
).map(lambda at: at.isoformat())
rows = st.fixed_dictionaries(
    {
        "ts": times | st.just("2026-11-20T12:00:00.9+02:00"),
        "user_id": st.sampled_from([0, 1, 2**32]),
        "order_id": st.sampled_from([0, 3, 2**32]),
        "domain": st.sampled_from(["", "A.Example.", "🦊.example", "nul\0"]),
        "country": st.sampled_from(["", "uk", "XX", "DE"]),
        "ip_out": st.sampled_from(["", "198.51.100.1", "2001:db8::1"]),
        "error": st.sampled_from(["", "timeout"]),
        "count": st.sampled_from([0, 1, 2**32]),
        "bytes_received": st.sampled_from([0, 2**44]),
        "port": st.sampled_from([0, 65535]),
    }
)
pytestmark = pytest.mark.django_db


def all_lists(parts: Sequence[lists.Rows]) -> list[lists.Lists]:
    found = [part for part in parts if isinstance(part, lists.Lists)]
    assert len(found) == len(parts)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(batches=st.lists(st.lists(rows, min_size=1, max_size=6), min_size=1, max_size=4))
def test_lists_hold_the_rows_and_days_that_a_table_of_the_same_body_holds(batches: list[list[dict[str, Any]]]) -> None:
    bodies = [body_of(batch) for batch in batches]
    few, tables = all_lists([pushed_rows(body, NOW) for body in bodies]), [to_inbox(body, NOW) for body in bodies]
    stored = all_lists([journal.unpack(journal.pack(part)) for part in few])
    assert lists.concat(stored).equals(pa.concat_tables(tables))
    assert [lists.dirty_days_of(part) for part in few] == [columns.dirty_days_of(table) for table in tables]


requests = st.fixed_dictionaries(
    {
        "log_request_datetime": st.integers(0, 6 * 86_400_000).map(
            lambda ms: (NOW - timedelta(milliseconds=ms)).isoformat()
        ),
        "user_id": st.sampled_from([0, 1, 2**32]),
        "order_id": st.sampled_from([0, 3, 2**32]),
        "log_hostname": st.sampled_from(["", "A.Example.", "🦊.example", "nul\0"]),
        "country_id": st.sampled_from(["", "uk", "XX", "DE"]),
        "log_egress_ip_address": st.sampled_from(["", "198.51.100.1", "2001:DB8::1"]),
        "log_bytes_received": st.sampled_from([0, 2**44]),
        "log_total_bytes": st.sampled_from([None, 0, 2**45]),
        "log_total_elapsed_ms": st.sampled_from([None, 0, 250]),
        "log_protocol": st.sampled_from([None, "", "socks"]),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(batches=st.lists(st.lists(requests, min_size=1, max_size=6), min_size=1, max_size=4))
def test_lists_of_requests_hold_what_a_table_of_the_same_body_holds(batches: list[list[dict[str, Any]]]) -> None:
    bodies = [body_of(batch) for batch in batches]
    few = all_lists([pushed_requests(body, NOW) for body in bodies])
    tables = [to_request_inbox(body, NOW) for body in bodies]
    stored = all_lists([journal.unpack(journal.pack(part)) for part in few])
    # Ids are new each time.
    assert lists.concat(stored).drop(["log_id"]).equals(pa.concat_tables(tables).drop(["log_id"]))
    assert [part.num_rows for part in few] == [table.num_rows for table in tables]
    assert [lists.dirty_days_of(part) for part in few] == [columns.dirty_days_of(table) for table in tables]


def test_lists_and_tables_in_one_block_keep_their_order() -> None:
    small = [body_of([documented_row(domain=f"{number}.example")]) for number in range(4)]
    large = body_of([documented_row(domain="large.example")] * (lists.MAX_ROWS + 1))
    now = datetime.now(UTC)
    parts = [pushed_rows(body, now) for body in (small[0], small[1], large, small[2], small[3])]
    domains = lists.concat(parts)["domain"].to_pylist()
    assert [type(part) is lists.Lists for part in parts] == [True, True, False, True, True]
    names = ["0.example", "1.example", *["large.example"] * (lists.MAX_ROWS + 1), "2.example", "3.example"]
    assert domains == names


def test_a_stored_batch_records_its_encoding(worker: Any) -> None:
    now = datetime.now(UTC)
    for rows_of in (to_inbox, pushed_rows):
        origin = journal.BatchOrigin(worker.pk, IngestBatch.Route.TRAFFIC)
        journal.record(origin, rows_of(body_of([documented_row()]), now), now=now, claimed=True)
    first, second = (journal.unpack(bytes(batch.columns or b"")) for batch in IngestBatch.objects.order_by("id"))
    assert isinstance(first, pa.Table)
    assert isinstance(second, lists.Lists)
    assert lists.concat([second]).equals(first)
