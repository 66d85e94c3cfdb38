"""The journal: accepted rows are durable, and reach the engine once, whatever the engine does in the meantime."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import timedelta
from queue import Queue
from time import monotonic, sleep
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
import time_machine
from django.db import InterfaceError, connection, connections, transaction
from django.db.models.functions import Now
from django.utils import timezone

from analytics import tasks
from analytics.ingest import journal, pause
from analytics.ingest.flusher import Flusher, QueuedBatch, recover
from analytics.models import IngestBatch, IngestPause, InsertBlock
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.api.errors import Unavailable
from fonproxy.clickhouse.client import Client, get_client
from tests.analytics.helpers import TABLES, body_of, counted, documented_row, engine_unavailable, push

pytestmark = pytest.mark.django_db


def recover_later() -> None:
    """When the sender's claims have expired: on a server a peer may still be running until then."""
    with time_machine.travel(timezone.now() + journal.CLAIM + timedelta(seconds=1)):
        recover()


def test_rows_accepted_while_the_engine_is_unavailable_are_readable_after_its_return(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    client = client_for(worker, "ingest")
    with engine_unavailable():
        assert push(client, [documented_row()]).status_code == 204
        assert push(client, [documented_row(count=5)]).status_code == 204
        assert IngestBatch.objects.filter(settled_at=None).count() == 2
    tasks.replay_journal()  # the failed block waits for its delay; the other one is sent at once
    with time_machine.travel(timezone.now() + timedelta(seconds=3)):
        tasks.replay_journal()
    assert {table: counted(get_client(), table) for table in TABLES} == dict.fromkeys(TABLES, (2, 17))
    assert not IngestBatch.objects.filter(settled_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_while_a_block_hangs_others_are_accepted_and_all_count_once(
    clean_engine: Client, client_for: Any, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.ingest.flusher.STUCK_SECONDS", 1.0)
    has_begun, goes_on = threading.Event(), threading.Event()
    insert = type(clean_engine).insert

    def hanging(client: Any, *arguments: Any, **named: Any) -> None:
        has_begun.set()
        assert goes_on.wait(30)
        insert(client, *arguments, **named)

    monkeypatch.setattr(type(clean_engine), "insert", hanging)
    first, second = client_for(worker, "ingest"), client_for(worker, "ingest")
    statuses: list[int] = []

    def push_and_hang() -> None:
        statuses.append(push(first, [documented_row()]).status_code)
        connections.close_all()

    hangs = threading.Thread(target=push_and_hang)
    hangs.start()
    assert has_begun.wait(10)
    statuses += [push(second, [documented_row()]).status_code for _ in range(3)]  # the first of them waits briefly
    assert (statuses, IngestBatch.objects.filter(settled_at=None).count()) == ([204] * 3, 4)
    goes_on.set()
    hangs.join(30)
    tasks.replay_journal()
    assert statuses == [204] * 4
    assert {table: counted(get_client(), table) for table in TABLES} == dict.fromkeys(TABLES, (4, 48))


def test_a_repeat_during_the_outage_is_accepted_and_counted_once(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    client = client_for(worker, "ingest")
    rows = [documented_row()]
    with engine_unavailable():
        answers = [push(client, rows, **{"Idempotency-Key": "k"}).status_code for _ in range(3)]
    recover_later()
    assert (answers, counted(get_client(), "traffic")) == ([204] * 3, (1, 12))


def test_replaying_a_block_that_clickhouse_has_changes_no_table(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    with engine_unavailable():
        push(client_for(worker, "ingest"), [documented_row()])
    block = InsertBlock.objects.get()
    rows = journal.load(block)
    assert rows is not None
    get_client().insert(rows.inbox, rows.table, token=str(block.id))  # like a sender that died before settling it
    recover_later()
    assert {name: counted(get_client(), name) for name in TABLES} == dict.fromkeys(TABLES, (1, 12))
    assert InsertBlock.objects.get().settled_at


def test_a_full_journal_refuses_batches(clean_engine: Client, client_for: Any, worker: Any, settings: Any) -> None:
    settings.JOURNAL_MAX_ROWS = 1
    client = client_for(worker, "ingest")
    with engine_unavailable():
        assert push(client, [documented_row()]).status_code == 204
        refused = push(client, [documented_row()])
    assert (refused.status_code, int(refused["Retry-After"]) > 0) == (503, True)
    assert IngestBatch.objects.count() == 1


def test_events_may_fill_only_their_share_of_the_journal(worker: Any, settings: Any) -> None:
    settings.JOURNAL_MAX_ROWS = 8
    now = timezone.now()

    def record(route: IngestBatch.Route) -> None:
        table = pa.table({"at": pa.array([1], pa.uint64())})
        journal.record(journal.BatchOrigin(worker.pk, route), table, now=now, claimed=True)

    for _ in range(2):
        record(IngestBatch.Route.EVENTS)
    with pytest.raises(Unavailable):
        record(IngestBatch.Route.EVENTS)
    for _ in range(6):
        record(IngestBatch.Route.TRAFFIC)
    with pytest.raises(Unavailable):
        record(IngestBatch.Route.TRAFFIC)


def test_a_claimed_batch_is_not_claimed_again_until_the_claim_expires(worker: Any, clean_engine: Client) -> None:
    now = timezone.now()
    batch = _recorded(worker, now)
    assert journal.claim_next(now) is None
    block = journal.claim_next(now + journal.CLAIM)
    assert block is not None
    batch.refresh_from_db()
    assert batch.block == block


def test_of_two_processes_that_claim_a_batch_one_gets_it(worker: Any, clean_engine: Client) -> None:
    now = timezone.now()
    batch = _recorded(worker, now)
    (_, first), (_, second) = journal.form_block([batch.pk], now), journal.form_block([batch.pk], now)
    assert (first, second) == ({batch.pk}, set())


@pytest.mark.django_db(transaction=True)
def test_batches_are_locked_in_id_order_to_prevent_deadlocks(worker: Any) -> None:
    """While another transaction locks the first batch, grouping waits for it without a lock on the second."""
    now = timezone.now()
    second, first = _recorded(worker, now), _recorded(worker, now)
    # PostgreSQL reads the row with the lower id last, because its new version is stored after the other row.
    IngestBatch.objects.filter(pk=first.pk).update(id=second.pk - 1)
    first = IngestBatch.objects.get(pk=second.pk - 1)
    blocks: list[set[int]] = []

    def block() -> None:
        blocks.append(journal.form_block([second.pk, first.pk], now)[1])
        connections.close_all()

    grouping = threading.Thread(target=block)
    with transaction.atomic():
        IngestBatch.objects.select_for_update().get(pk=first.pk)
        grouping.start()
        if connection.features.has_select_for_update_nowait:
            _wait_for_a_blocked_statement()
            IngestBatch.objects.select_for_update(nowait=True).get(pk=second.pk)
    grouping.join(30)
    assert blocks == [{first.pk, second.pk}]


def _wait_for_a_blocked_statement() -> None:
    deadline = monotonic() + 30
    with connection.cursor() as cursor:
        while monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() != (0,):
                return
            sleep(0.02)
    raise AssertionError("no statement waits for a lock")


def test_retries_of_a_failing_block_back_off(worker: Any, clean_engine: Client) -> None:
    now = timezone.now()
    block, _ = journal.form_block([_recorded(worker, now).pk], now)
    pauses = []
    for _ in range(12):
        journal.record_failure(block, "it would not", now)
        block.refresh_from_db()
        pauses.append(block.claimed_until - now)
    assert pauses[:3] == [timedelta(seconds=2), timedelta(seconds=4), timedelta(seconds=8)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == journal.MAX_BACKOFF
    assert journal.claim_next(now + timedelta(minutes=1)) is None


def test_a_block_that_clickhouse_always_rejects_does_not_delay_the_others(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    poison = _recorded(worker, timezone.now())
    block, _ = journal.form_block([poison.pk], timezone.now() - timedelta(hours=1))
    rows = journal.load(block)
    assert rows is not None
    IngestBatch.objects.filter(pk=poison.pk).update(
        columns=journal.pack(rows.table.rename_columns(["no_such", *rows.table.column_names[1:]]))
    )
    with engine_unavailable():
        push(client_for(worker, "ingest"), [documented_row()])
    with time_machine.travel(timezone.now() + timedelta(seconds=3)):
        tasks.replay_journal()
    assert counted(get_client(), "traffic") == (1, 12)
    block.refresh_from_db()
    assert (block.settled_at, block.attempts) == (None, 1)
    assert "no_such" in block.last_error


def test_a_batch_that_was_not_sent_can_be_voided_and_one_that_was_cannot(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    sent_or_sending, waiting = _recorded(worker, timezone.now()), _recorded(worker, timezone.now())
    journal.form_block([sent_or_sending.pk], timezone.now())
    assert journal.void(IngestBatch.objects.order_by("id"), timezone.now()) == [waiting]
    recover_later()
    assert counted(get_client(), "traffic") == (1, 12)


def test_a_voided_batch_joins_no_block_and_is_not_sent(clean_engine: Client, worker: Any) -> None:
    voided, other = _recorded(worker, timezone.now()), _recorded(worker, timezone.now())
    queued = _queued(voided)
    assert journal.void([voided], timezone.now()) == [voided]
    Flusher().write(voided, queued.rows)
    assert journal.form_block([voided.pk, other.pk], timezone.now())[1] == {other.pk}
    recover_later()
    voided.refresh_from_db()
    assert (voided.block, counted(get_client(), "traffic")) == (None, (1, 12))


def test_a_batch_in_a_block_is_not_sent_in_another(clean_engine: Client, worker: Any) -> None:
    in_block, free = _recorded(worker, timezone.now()), _recorded(worker, timezone.now())
    journal.form_block([in_block.pk], timezone.now())  # as replay does once the claim has expired
    both = Flusher()
    both._queue.append(_queued(in_block))
    both.write(free, _queued(free).rows)
    assert counted(get_client(), "traffic") == (1, 12)
    recover_later()
    assert {name: counted(get_client(), name) for name in TABLES} == dict.fromkeys(TABLES, (2, 24))


def test_batches_of_two_routes_queued_together_are_sent_as_two_blocks(clean_engine: Client, worker: Any) -> None:
    pushed = _recorded(worker, timezone.now())
    imported = _recorded(worker, timezone.now(), IngestBatch.Route.HISTORY)
    both = Flusher()
    both._queue.append(_queued(pushed))
    both.write(imported, _queued(imported).rows)
    assert [(block.batches.count(), bool(block.settled_at)) for block in InsertBlock.objects.all()] == [(1, True)] * 2
    assert counted(get_client(), "order_traffic") == (2, 24)
    assert counted(get_client(), "traffic") == (1, 12)  # imported history does not enter this table


@pytest.mark.django_db(transaction=True)
def test_write_returns_without_an_error_while_another_thread_hangs_with_its_batch(
    clean_engine: Client, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: Queue[threading.Event] = Queue()
    insert = type(clean_engine).insert

    def hanging(client: Any, *arguments: Any, **named: Any) -> None:
        attempts.put(goes_on := threading.Event())
        assert goes_on.wait(60)
        insert(client, *arguments, **named)

    monkeypatch.setattr(type(clean_engine), "insert", hanging)
    monkeypatch.setattr("analytics.ingest.flusher.STUCK_SECONDS", 60.0)
    batches = [_recorded(worker, timezone.now()) for _ in range(3)]
    shared, queued = Flusher(), [_queued(batch) for batch in batches]

    def write(number: int) -> None:
        try:
            shared.write(queued[number].batch, queued[number].rows)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(write, 0)
        goes_on = attempts.get(timeout=30)
        others = [pool.submit(write, number) for number in (1, 2)]
        deadline = monotonic() + 30
        while len(shared._queue) < 2:
            assert monotonic() < deadline
            sleep(0.01)
        monkeypatch.setattr("analytics.ingest.flusher.STUCK_SECONDS", 0.5)
        goes_on.set()
        goes_on = attempts.get(timeout=30)  # one of the others sends both
        try:
            [left], [sends] = wait(others, timeout=30, return_when=FIRST_COMPLETED)
            assert not sends.done()
            left.result()
        finally:
            goes_on.set()
        first.result(30)
        sends.result(30)
    assert {name: counted(get_client(), name) for name in TABLES} == dict.fromkeys(TABLES, (3, 36))
    assert InsertBlock.objects.count() == 2


def test_keys_are_forgotten_after_24_hours_and_not_before(clean_engine: Client, client_for: Any, worker: Any) -> None:
    client, key = client_for(worker, "ingest"), {"Idempotency-Key": "k"}
    started = timezone.now()
    push(client, [documented_row()], **key)
    with time_machine.travel(started + timedelta(hours=23, minutes=59)):
        tasks.forget_settled_batches()
        assert push(client, [documented_row(count=1)], **key).status_code == 409
    with time_machine.travel(started + timedelta(hours=24, minutes=1)):
        assert push(client, [documented_row(count=1)], **key).status_code == 204
        tasks.forget_settled_batches()
        assert IngestBatch.objects.count() == 2  # the ledger has not processed the first one yet
        IngestBatch.objects.update(is_accounted=True)
        tasks.forget_settled_batches()
    assert (IngestBatch.objects.count(), counted(clean_engine, "traffic")) == (1, (2, 13))


def test_a_batch_that_waits_for_clickhouse_is_never_deleted(clean_engine: Client, worker: Any) -> None:
    _recorded(worker, timezone.now() - timedelta(days=3))
    tasks.forget_settled_batches()
    assert IngestBatch.objects.count() == 1


def test_the_days_of_a_batch_are_stored_with_it(clean_engine: Client, client_for: Any, worker: Any) -> None:
    rows = [
        documented_row(ts=ts, order_id=order)
        for ts, order in (("2026-10-01 23:59:59", 3), ("2026-10-02 00:00:00", 3), ("2026-10-02 10:00:00", 4))
    ]
    with time_machine.travel("2026-10-03T00:00:00Z"):
        push(client_for(worker, "ingest"), [*rows, *rows])
    assert IngestBatch.objects.get().dirty_days == [[3, "2026-10-01"], [3, "2026-10-02"], [4, "2026-10-02"]]


def _recorded(user: Any, now: Any, route: IngestBatch.Route = IngestBatch.Route.TRAFFIC) -> IngestBatch:
    """A batch as left by a process that died before grouping it."""
    table = to_inbox(body_of([documented_row()]), timezone.now())
    return journal.record(journal.BatchOrigin(user.pk, route), table, now=now, claimed=True)[0]


def _queued(batch: IngestBatch) -> QueuedBatch:
    return QueuedBatch(batch, journal.unpack(bytes(batch.columns or b"")))


def test_during_a_backup_rows_are_accepted_and_sent_only_afterwards(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    client, rows = client_for(worker, "ingest"), [documented_row()]
    with pause.paused():
        answers = [push(client, rows, **{"Idempotency-Key": "k"}).status_code for _ in range(2)]
        tasks.replay_journal()
        assert (answers, counted(get_client(), "traffic")) == ([204] * 2, (0, 0))
        with pytest.raises(pause.PauseLost), pause.paused():
            pass
    tasks.replay_journal()
    assert counted(get_client(), "traffic") == (1, 12)


def test_the_pause_of_a_killed_backup_expires(clean_engine: Client, client_for: Any, worker: Any) -> None:
    IngestPause.objects.update_or_create(pk=IngestPause.THE_ONE, defaults={"until": Now() + pause.LENGTH})
    push(client_for(worker, "ingest"), [documented_row()])
    tasks.replay_journal()
    assert counted(get_client(), "traffic") == (0, 0)
    recover_later()  # a clock that is ahead ends no pause: the relational store's clock counts
    assert counted(get_client(), "traffic") == (0, 0)
    IngestPause.objects.update(until=Now())  # as after its expiry
    recover_later()
    assert counted(get_client(), "traffic") == (1, 12)


def test_a_batch_whose_caller_gave_up_is_left_to_replay_even_when_the_database_disconnects(
    clean_engine: Client, worker: Any
) -> None:
    batch, waiting = _recorded(worker, timezone.now()), Flusher()
    queued = _queued(batch)
    waiting._queue.append(queued)
    with mock.patch.object(journal, "release_batches", side_effect=InterfaceError("connection already closed")):
        waiting._leave(queued)
    recover_later()
    assert counted(get_client(), "traffic") == (1, 12)


def test_a_backup_whose_pause_expired_midway_fails(db: None) -> None:
    with pytest.raises(pause.PauseLost, match="rows may have been inserted meanwhile"), pause.paused():
        IngestPause.objects.update(until=Now())
