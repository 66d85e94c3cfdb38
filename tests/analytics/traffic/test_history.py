"""Traffic from before the switch to FonProxy, imported from a file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import User
from analytics.ingest import journal
from analytics.models import IngestBatch
from analytics.traffic import history
from fonproxy.clickhouse.client import Client, get_client
from fonproxy.sqlite import without_waiting
from orders import ledger
from orders import services as order_services
from orders.models import CutOff, Order
from tests.analytics.helpers import TABLES, counted, engine_unavailable
from usage import metering, reconciliation

NOW = datetime.now(UTC)
LONG_AGO = datetime(2009, 5, 6, 7, tzinfo=UTC)
KEPT = {"order_traffic", "login_traffic", "daily_network"}


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, limit=1000, started_at=NOW - timedelta(days=3), now=NOW)


def row(order: Order, at: datetime, **fields: Any) -> dict[str, Any]:
    given = {"user_id": order.user_id, "order_id": order.pk, "count": 1, "bytes_received": 100, "domain": "a.example"}
    return {"ts": f"{at:%Y-%m-%d %H:%M:%S}", **given, **fields}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(line if isinstance(line, str) else f"{json.dumps(line)}\n" for line in lines))
    return path


def run(file: Path) -> str:
    out = StringIO()
    call_command("import_history", str(file), stdout=out)
    return out.getvalue()


def test_rows_of_any_age_go_to_the_tables_that_are_kept_for_ever(
    order: Order, clean_engine: Client, tmp_path: Path
) -> None:
    every_month = [row(order, LONG_AGO + timedelta(days=20 * n)) for n in range(200)]
    file = write(tmp_path / "old", *every_month, "\n", {"logs": [row(order, LONG_AGO), row(order, NOW)]})
    assert "202 rows imported, 0 had already been imported." in run(file)
    assert {table: counted(get_client(), table)[0] for table in TABLES} == {
        table: 202 * (table in KEPT) for table in TABLES
    }


def test_a_file_imported_again_adds_nothing_even_a_year_later(
    order: Order, clean_engine: Client, tmp_path: Path
) -> None:
    file = write(tmp_path / "old", *[row(order, LONG_AGO)] * 3)
    run(file)
    metering.post_usage(NOW)
    in_a_year = timezone.now() + timedelta(days=365)
    journal.forget(in_a_year)
    assert history.import_chunk(next(history.chunks(file)), in_a_year) == 0
    assert "0 rows imported, 3 had already been imported." in run(file)
    assert counted(get_client(), "order_traffic") == (3, 3)


def test_equal_rows_at_different_places_count_each(
    order: Order, clean_engine: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CHUNK_ROWS", 2)
    run(write(tmp_path / "old", *[row(order, LONG_AGO)] * 5))
    assert counted(get_client(), "order_traffic") == (5, 5)


def test_one_bad_row_imports_nothing(order: Order, clean_engine: Client, tmp_path: Path) -> None:
    bad = {"logs": [row(order, LONG_AGO), row(order, LONG_AGO, count=-1)]}
    file = write(tmp_path / "old", row(order, LONG_AGO), "\n", bad, row(order, datetime(1999, 1, 1, tzinfo=UTC)))
    with pytest.raises(CommandError) as refusal:
        run(file)
    assert str(refusal.value).splitlines()[1:] == [
        "line 3: count: Expected int >= 0.",
        "line 4: ts: Is older than the retention (2000-01-01 00:00).",
    ]
    assert not IngestBatch.objects.exists()


@pytest.mark.parametrize("line", ["nonsense\n", "[]\n", '{"logs": 3}\n', '{"ts": "2019-01-01"\n', "\xff\n"])
def test_a_line_that_is_not_a_row_is_reported(line: str, order: Order, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="line 2: not a JSON object"):
        run(write(tmp_path / "old", row(order, LONG_AGO), line))


def test_a_byte_order_mark_before_the_first_line_does_not_cost_it(order: Order, tmp_path: Path) -> None:
    first = f"\ufeff{json.dumps(row(order, LONG_AGO))}\n"
    assert "2 rows imported, 0 had already been imported." in run(write(tmp_path / "old", first, row(order, LONG_AGO)))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="must be a file"):
        run(tmp_path / "nothing")


def test_while_another_process_has_the_engine_history_waits_in_the_journal(
    order: Order, tmp_path: Path, clean_engine: Client
) -> None:
    with engine_unavailable():
        assert "wait in the journal" in run(write(tmp_path / "old", row(order, LONG_AGO)))
    IngestBatch.objects.update(claimed_until=timezone.now())
    assert "0 rows imported, 1 had already been imported." in run(tmp_path / "old")


def test_history_is_in_the_ledger_but_takes_nothing_from_a_later_period(order: Order, tmp_path: Path) -> None:
    file = write(tmp_path / "old", row(order, LONG_AGO, bytes_received=5000), row(order, NOW - timedelta(days=2)))
    run(file)
    metering.post_usage(NOW)
    lines = {entry.period_date: entry.bytes for entry in order.ledger.filter(reason="usage")}
    assert lines == {LONG_AGO.date(): -5000, (NOW - timedelta(days=2)).date(): -100}
    assert ledger.balance(order) == 900
    assert not CutOff.objects.exists()
    assert reconciliation.reconcile(NOW) == []
    [adjustment] = order.ledger.filter(reason="adjustment")
    assert (adjustment.bytes, adjustment.note) == (5000, "imported history")
    assert date(2009, 5, 6) in lines


def test_history_within_a_period_that_has_ended_counts_in_it_when_it_goes_on(order: Order, tmp_path: Path) -> None:
    order_services.expire(order, NOW)
    run(write(tmp_path / "old", row(order, NOW - timedelta(days=2)), row(order, LONG_AGO)))
    metering.post_usage(NOW)
    assert ledger.balance(order) == 0
    later = NOW + timedelta(days=9)
    order_services.change(
        order,
        author="shop",
        now=NOW,
        name="o",
        limit_bytes=1000,
        started_at=order.started_at,
        expires_at=later,
        period=None,
        day_limit_bytes=None,
    )
    order.refresh_from_db()
    assert (ledger.balance(order), ledger.used([order])[order.pk]) == (900, 100)


def test_history_of_the_day_on_which_the_period_began_counts_in_it(order: Order, tmp_path: Path) -> None:
    run(write(tmp_path / "old", row(order, order.period_started_at), row(order, NOW - timedelta(days=4))))
    metering.post_usage(NOW)
    order.refresh_from_db()
    assert (ledger.balance(order), ledger.used([order])[order.pk]) == (900, 100)


@pytest.mark.parametrize("expires_at", [None, NOW])
def test_history_of_an_unmetered_order_adjusts_nothing_and_counts_in_its_own_period(
    expires_at: datetime | None,
    alice: User,
    make_order: Callable[..., Order],
    clean_engine: Client,
    tmp_path: Path,
) -> None:
    order = make_order(alice, limit=None, started_at=NOW - timedelta(days=3), expires_at=expires_at, now=NOW)
    run(write(tmp_path / "old", row(order, LONG_AGO, bytes_received=5000), row(order, NOW - timedelta(days=2))))
    metering.post_usage(NOW)
    order.refresh_from_db()
    assert not order.ledger.filter(reason="adjustment").exists()
    assert ledger.used_in_total([order.pk]) == {order.pk: 5100}
    assert ledger.used([order]) == {order.pk: 100}


def test_a_file_that_has_grown_adds_its_new_rows(order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CHUNK_ROWS", 4)

    for length in (2, 3, 5, 5, 6, 9, 9):
        rows = [row(order, LONG_AGO)] * length
        run(write(tmp_path / "old", *rows))
        assert counted(get_client(), "order_traffic") == (length, length)


def test_a_pipe_is_refused_because_it_can_be_read_only_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CommandError, match="not a pipe"):
        run(tmp_path / "pipe")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL locks rows")
def test_an_import_that_cannot_write_says_so_and_continues_when_run_again(
    transactional_db: None, clean_engine: Client, tmp_path: Path
) -> None:
    file = write(tmp_path / "old", {"ts": f"{LONG_AGO}", "user_id": 7, "order_id": 7, "count": 1})
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CommandError, match="busy for too long"), without_waiting():
            run(file)
    assert "1 rows imported" in run(file)
