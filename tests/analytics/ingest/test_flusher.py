"""How the flusher groups, waits, gives up and replays.

Its clock is set by the tests; the engine and stores are real.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from accounts.models import User
from analytics.ingest import flusher as module
from analytics.ingest import journal, pause
from analytics.ingest.flusher import Flusher, QueuedBatch, recover
from analytics.models import IngestBatch, InsertBlock
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import Client, get_client
from fonproxy.clickhouse.errors import EngineUnavailable
from tests.analytics.helpers import body_of, counted, documented_row, engine_unavailable
from tests.engines import embedded_only
from tests.waiting import wait_for

ROUTE = IngestBatch.Route


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def send() -> Flusher:
    return Flusher()


def recorded(user: User, *, claimed: bool = True, route: ROUTE = ROUTE.TRAFFIC, **row: Any) -> QueuedBatch:
    rows = to_inbox(body_of([documented_row(**row)]), timezone.now())
    batch = journal.record(journal.BatchOrigin(user.pk, route), rows, now=timezone.now(), claimed=claimed).batch
    return QueuedBatch(batch, rows)


def write(send: Flusher, queued: QueuedBatch) -> None:
    send.write(queued.batch, queued.rows)


def poisoned(user: User) -> QueuedBatch:
    """A batch that the engine refuses."""
    queued = recorded(user)
    table: Any = queued.rows
    columns = journal.pack(table.rename_columns(["no_such", *table.column_names[1:]]))
    IngestBatch.objects.filter(pk=queued.batch.pk).update(columns=columns)
    return QueuedBatch(queued.batch, journal.unpack(columns))


# --- blocks


def queue(send: Flusher, *batches: tuple[ROUTE, int, int]) -> list[QueuedBatch]:
    """Batches with so many rows and bytes, put into the queue."""
    queued = [QueuedBatch(IngestBatch(route=route, rows=rows, size=size), rows=None) for route, rows, size in batches]  # type: ignore[arg-type]
    for each in queued:
        send._enqueue(each, 1.0)
    return queued


@pytest.mark.parametrize(
    ("batches", "taken"),
    [
        ([(ROUTE.TRAFFIC, 3, 30), (ROUTE.TRAFFIC, 2, 20), (ROUTE.TRAFFIC, 1, 1)], [0, 1]),
        ([(ROUTE.TRAFFIC, 3, 1), (ROUTE.TRAFFIC, 2, 1), (ROUTE.TRAFFIC, 1, 1)], [0, 1]),
        ([(ROUTE.TRAFFIC, 3, 30), (ROUTE.TRAFFIC, 1, 21), (ROUTE.TRAFFIC, 1, 1)], [0]),
        ([(ROUTE.TRAFFIC, 6, 60), (ROUTE.TRAFFIC, 1, 1)], [0]),
        ([(ROUTE.TRAFFIC, 1, 1), (ROUTE.EVENTS, 1, 1), (ROUTE.TRAFFIC, 1, 1)], [0, 2]),
    ],
)
def test_a_block_has_one_route_and_limited_rows_and_bytes_but_at_least_one_batch(
    send: Flusher,
    clock: Clock,
    batches: list[tuple[ROUTE, int, int]],
    taken: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "BLOCK_ROWS", 5)
    monkeypatch.setattr(journal, "BLOCK_BYTES", 50)
    queued = queue(send, *batches)
    assert send._take() == [queued[number] for number in taken]
    rest = [each for number, each in enumerate(queued) if number not in taken]
    assert list(send._queue) == rest
    assert send._queued_rows == sum(each.batch.rows for each in rest)
    assert send._due_at == clock.now


@pytest.mark.django_db
def test_a_block_has_its_rows_in_the_order_in_which_replay_would_send_them(
    send: Flusher, worker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def insert(inbox: str, table: Any, *, token: str) -> None:
        sent.append(table)
        raise EngineUnavailable("It is down.")

    monkeypatch.setattr(module, "get_client", lambda: SimpleNamespace(insert=insert))
    for queued in [recorded(worker, domain="first.example"), recorded(worker, domain="second.example")][::-1]:
        send._enqueue(queued, 0.0)
    send._send_and_finish(send._take())
    replayed = journal.load(InsertBlock.objects.get())
    assert replayed is not None
    assert replayed.table["domain"].to_pylist() == ["first.example", "second.example"]
    assert sent[0].equals(replayed.table)


def test_nothing_is_due_once_the_queue_is_empty(send: Flusher, clock: Clock) -> None:
    queue(send, (ROUTE.TRAFFIC, 1, 1))
    assert send._due_at == 1.0
    send._take()
    assert (send._due_at, send._queued_rows, len(send._queue)) == (inf, 0, 0)


def test_the_queue_is_due_with_its_first_batch(send: Flusher) -> None:
    for due_at in (5.0, 3.0, 4.0):
        send._enqueue(QueuedBatch(IngestBatch(rows=1, columns=b"x"), rows=None), due_at)  # type: ignore[arg-type]
    assert send._due_at == 3.0
    assert [each.batch.columns for each in send._queue] == [None] * 3


@pytest.mark.parametrize(("due_seconds_ago", "waits"), [(0.5, False), (1.0, True)])
def test_every_push_waits_once_rows_have_been_due_for_three_quarters_of_a_second(
    send: Flusher, clock: Clock, due_seconds_ago: float, waits: bool
) -> None:
    send._thread = threading.Thread()  # one that keeps up
    queue(send, (ROUTE.TRAFFIC, 1, 1))
    send._due_at = clock.now - due_seconds_ago
    batch = IngestBatch(route=ROUTE.TRAFFIC, rows=1, size=1)
    assert (send.queue(batch, None, waits=False) is not None) == waits  # type: ignore[arg-type]


def test_the_thread_rests_when_what_was_due_has_been_taken_away(send: Flusher, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float | None] = []

    def wait(seconds: float | None = None) -> None:
        rests.append(seconds)
        send._is_stopping = True

    monkeypatch.setattr(send._condition, "wait", wait)
    monkeypatch.setattr(send._condition, "wait_for", None)
    send._due_at = 0.0
    assert send._next() == []
    assert rests == [None]


@pytest.mark.parametrize(("waits", "seconds"), [(True, 0), (False, 0.25)])
def test_rows_are_due_at_once_if_their_caller_waits_and_soon_otherwise(
    send: Flusher, clock: Clock, waits: bool, seconds: float
) -> None:
    send._thread = threading.Thread()
    send.queue(IngestBatch(route=ROUTE.TRAFFIC, rows=1, size=1), None, waits=waits)  # type: ignore[arg-type]
    assert send._due_at == clock.now + seconds


# --- an engine that is unavailable, hangs or refuses


@pytest.mark.django_db
def test_an_unavailable_engine_is_not_tried_for_five_seconds(
    send: Flusher, clock: Clock, clean_engine: Client, worker: User, caplog: pytest.LogCaptureFixture
) -> None:
    assert not send.engine_is_unavailable
    with engine_unavailable():
        write(send, recorded(worker))
    assert "failed" in caplog.text
    block = InsertBlock.objects.get()
    assert (block.attempts, block.settled_at) == (1, None)
    began = clock.now
    found = []
    for clock.now in (began, began + 4.99, began + 5.0):
        found.append(send.engine_is_unavailable)
    assert found == [True, True, False]
    clock.now = began
    write(send, recorded(worker))
    assert not send.engine_is_unavailable
    assert counted(get_client(), "traffic") == (1, 12)


@pytest.mark.django_db
def test_an_engine_that_refuses_a_block_is_available(
    send: Flusher, clean_engine: Client, worker: User, caplog: pytest.LogCaptureFixture
) -> None:
    send._unavailable_until = inf
    write(send, poisoned(worker))
    assert not send.engine_is_unavailable
    assert InsertBlock.objects.get().attempts == 1
    assert "no_such" in caplog.text


def test_a_process_can_leave_all_inserts_to_others(send: Flusher, clock: Clock) -> None:
    send.leave_to_others()
    clock.now += 1e9
    assert send.engine_is_unavailable


@pytest.mark.django_db(transaction=True)
def test_an_insert_longer_than_five_seconds_marks_the_engine_as_hanging(
    send: Flusher, clock: Clock, clean_engine: Client, worker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, goes_on = threading.Event(), threading.Event()
    insert = type(clean_engine).insert

    def hanging(client: Any, *arguments: Any, **named: Any) -> None:
        has_begun.set()
        assert goes_on.wait(60)
        insert(client, *arguments, **named)

    monkeypatch.setattr(type(clean_engine), "insert", hanging)
    first, second = recorded(worker), recorded(worker)

    def push() -> None:
        write(send, first)
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        hangs = pool.submit(push)
        assert has_begun.wait(60)
        began, found = clock.now, []
        for clock.now in (began + 5.0, began + 5.01):
            found.append(send.engine_is_unavailable)
        write(send, second)  # returns: other callers do not wait for the hanging block
        second.batch.refresh_from_db()
        assert second.batch.claimed_until <= timezone.now()
        assert (len(send._queue), send._queued_rows) == (0, 0)
        goes_on.set()
        hangs.result(60)
    assert found == [False, True]
    assert not send.engine_is_unavailable
    assert counted(clean_engine, "traffic") == (1, 12)


@pytest.mark.django_db
def test_a_batch_that_is_being_sent_keeps_its_claim_when_its_caller_stops_waiting(send: Flusher, worker: User) -> None:
    queued = recorded(worker)
    send._leave(queued)
    queued.batch.refresh_from_db()
    assert queued.batch.claimed_until > timezone.now()


def test_a_claim_that_cannot_be_released_is_logged(
    send: Flusher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def locked(*_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(journal, "release_batches", locked)
    [mine] = queue(send, (ROUTE.TRAFFIC, 1, 1))
    send._leave(mine)
    assert caplog.messages == ["claim of a batch not released, replay waits until it expires: database is locked"]


@pytest.mark.django_db
def test_an_error_while_sending_is_logged_and_blocks_no_caller(
    send: Flusher, clean_engine: Client, worker: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "form_block", broken)
        write(send, recorded(worker))
    assert "insert block not sent; replay will retry" in caplog.text
    assert (send._is_sending, send._stuck_from) == (False, inf)
    write(send, recorded(worker))
    assert counted(clean_engine, "traffic") == (1, 12)


@pytest.mark.django_db
def test_during_a_backup_claims_are_released(send: Flusher, clean_engine: Client, worker: User) -> None:
    queued = recorded(worker)
    with pause.paused():
        write(send, queued)
    queued.batch.refresh_from_db()
    assert (queued.batch.claimed_until <= timezone.now(), queued.batch.block) == (True, None)


# --- the thread


@pytest.fixture
def running(send: Flusher) -> Iterator[Flusher]:
    send.start()
    yield send
    send.stop()


@pytest.mark.django_db(transaction=True)
def test_the_thread_can_be_stopped_and_started_again(clean_engine: Client, worker: User, running: Flusher) -> None:
    thread = running._thread
    assert thread is not None
    assert (thread.name, thread.daemon) == ("ingest-flusher", True)
    write(running, recorded(worker))
    assert running.is_running is True
    for _ in range(2):
        running.stop()
        assert running._thread is None
    assert not thread.is_alive()
    assert running.is_running is False
    running.start()
    write(running, recorded(worker))
    assert counted(clean_engine, "traffic") == (2, 24)


@pytest.mark.django_db(transaction=True)
def test_the_thread_keeps_no_broken_connection_and_closes_its_own_at_the_end(
    clean_engine: Client, worker: User, send: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(module, "close_old_connections", lambda: calls.append("check"))

    def close() -> None:
        calls.append("close")
        connection.close()

    monkeypatch.setattr("analytics.ingest.flusher.connection", SimpleNamespace(close=close))
    send.start()
    write(send, recorded(worker))
    assert calls == ["check"]
    send.stop()
    assert calls == ["check", "close"]


def test_a_caller_waits_on_while_the_engine_does_not_hang(send: Flusher) -> None:
    waited: list[float] = []

    class Finished:
        def wait(self, seconds: float) -> bool:
            waited.append(seconds)
            return len(waited) == 3

    mine = QueuedBatch(IngestBatch(rows=1), rows=None, finished=Finished())  # type: ignore[arg-type]
    send._queue.append(mine)
    send._thread = threading.current_thread()
    send.wait_for(mine)
    assert waited == [module.STUCK_SECONDS] * 3
    assert list(send._queue) == [mine]


@pytest.mark.django_db(transaction=True)
def test_rows_without_a_waiting_caller_are_sent_soon(clean_engine: Client, worker: User, running: Flusher) -> None:
    queued = recorded(worker)
    running.write(queued.batch, queued.rows, waits=False)
    assert running._thread is not None
    wait_for(lambda: counted(clean_engine, "traffic") == (1, 12))
    assert running._queued_rows == 0


@pytest.mark.django_db(transaction=True)
def test_a_push_is_left_to_replay_when_the_thread_has_died(
    clean_engine: Client, worker: User, running: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.ingest.flusher.STUCK_SECONDS", 0.1)
    thread = running._thread
    assert thread is not None
    with running._condition:
        running._is_stopping = True
        running._condition.notify_all()
    thread.join(60)
    assert running.is_running is False
    write(running, queued := recorded(worker))
    queued.batch.refresh_from_db()
    assert queued.batch.claimed_until <= timezone.now()


def test_a_block_waits_while_pushes_are_read(send: Flusher) -> None:
    notified = []
    send._condition.notify_all = lambda: notified.append(send._reading)  # type: ignore[method-assign]
    with send.reading():
        with suppress(ValueError), send.reading():
            assert send._reading == 2
            raise ValueError
        assert (send._reading, notified) == (1, [])
    assert (send._reading, notified) == (0, [0])


@pytest.fixture
def answered(clean_engine: Client, worker: User, running: Flusher, monkeypatch: pytest.MonkeyPatch) -> Flusher:
    """A flusher that has just sent the rows of three callers in one block, and waits long for them to return."""
    monkeypatch.setattr(module, "GATHER_SECONDS", 3600.0)
    with running.reading():
        block = [put(running, worker) for _ in range(3)]
    for queued in block:
        assert queued.finished.wait(60)
    assert InsertBlock.objects.count() == 1
    return running


def put(send: Flusher, user: User) -> QueuedBatch:
    """A batch whose caller waits, in the queue."""
    new = recorded(user)
    queued = send.queue(new.batch, new.rows, waits=True)
    assert queued is not None
    return queued


@pytest.mark.django_db(transaction=True)
def test_a_block_waits_until_all_answered_callers_have_pushed_again(worker: User, answered: Flusher) -> None:
    again = [put(answered, worker), put(answered, worker)]
    assert not again[0].finished.wait(0.3)
    again.append(put(answered, worker))
    for queued in again:
        assert queued.finished.wait(60)
    assert InsertBlock.objects.count() == 2
    assert counted(get_client(), "traffic") == (6, 72)


@pytest.mark.django_db(transaction=True)
def test_a_block_waits_for_callers_even_if_others_pushed_during_the_last_one(
    clean_engine: Client, worker: User, running: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = type(clean_engine).insert
    others: list[QueuedBatch] = []

    def interrupted(client: Any, *arguments: Any, **named: Any) -> None:
        if not others:
            others.extend([put(running, worker), put(running, worker)])
        insert(client, *arguments, **named)

    monkeypatch.setattr(type(clean_engine), "insert", interrupted)
    monkeypatch.setattr(module, "GATHER_SECONDS", 3600.0)
    assert put(running, worker).finished.wait(60)
    assert not others[0].finished.wait(0.3)
    assert put(running, worker).finished.wait(60)
    assert InsertBlock.objects.count() == 2
    assert counted(clean_engine, "traffic") == (4, 48)


@pytest.mark.django_db(transaction=True)
def test_a_block_with_many_rows_does_not_wait_for_callers(
    worker: User, answered: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY_ROWS", 1)
    first, second = put(answered, worker), put(answered, worker)
    assert first.finished.wait(60)
    assert second.finished.wait(60)


@pytest.mark.django_db(transaction=True)
def test_a_block_waits_only_for_a_moment_for_callers_who_do_not_return(
    clean_engine: Client, worker: User, running: Flusher
) -> None:
    with running.reading():
        both = [put(running, worker), put(running, worker)]
    assert all(queued.finished.wait(60) for queued in both)
    assert put(running, worker).finished.wait(60)


@pytest.mark.django_db(transaction=True)
def test_a_stop_does_not_wait_for_callers_who_do_not_return(worker: User, answered: Flusher) -> None:
    again = put(answered, worker)
    answered.stop()
    assert again.finished.is_set()
    assert counted(get_client(), "traffic") == (4, 48)


@pytest.mark.django_db(transaction=True)
def test_a_single_caller_that_pushes_again_does_not_wait(
    clean_engine: Client, worker: User, running: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 3600.0)
    for _ in range(2):
        assert put(running, worker).finished.wait(60)
    assert counted(clean_engine, "traffic") == (2, 24)


# --- replay


@pytest.mark.django_db
def test_replay_sends_every_block_that_clickhouse_accepts(send: Flusher, clean_engine: Client, worker: User) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    refused, sent = poisoned(worker), recorded(worker)
    journal.form_block([refused.batch.pk], long_ago)
    journal.form_block([sent.batch.pk], long_ago + timedelta(seconds=1))
    recorded(worker, claimed=False)
    assert send.replay() == 2
    assert counted(clean_engine, "traffic") == (2, 24)
    assert not send.engine_is_unavailable
    assert send.replay() == 0


@pytest.mark.django_db
def test_replay_ends_when_the_engine_is_unavailable(send: Flusher, clean_engine: Client, worker: User) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    for _ in range(2):
        journal.form_block([recorded(worker).batch.pk], long_ago)
    with engine_unavailable():
        assert send.replay() == 0
    assert sorted(InsertBlock.objects.values_list("attempts", flat=True)) == [0, 1]


@pytest.mark.django_db
def test_replay_of_a_block_without_rows_settles_it(send: Flusher, clean_engine: Client) -> None:
    block, _ = journal.form_block([], timezone.now() - timedelta(hours=1))
    assert send.replay() == 1
    block.refresh_from_db()
    assert block.settled_at is not None


@embedded_only
@pytest.mark.django_db
def test_a_start_sends_claimed_batches_and_logs_it(
    clean_engine: Client, worker: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recover()
    assert "earlier process" not in caplog.text
    recorded(worker)
    recover()
    assert counted(clean_engine, "traffic") == (1, 12)
    [said] = [each for each in caplog.records if "earlier process" in each.message]
    assert said.blocks == 1  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_a_start_beside_other_processes_leaves_their_claimed_batches(
    clean_engine: Client, worker: User, settings: Any
) -> None:
    settings.CLICKHOUSE_URL = "clickhouse://host"
    recorded(worker)
    recover()
    assert counted(clean_engine, "traffic") == (0, 0)


# --- waiting for another request's batch


def settled(batch: IngestBatch) -> None:
    journal.settle(journal.form_block([batch.pk], timezone.now())[0], timezone.now())


def refused(batch: IngestBatch) -> None:
    journal.record_failure(journal.form_block([batch.pk], timezone.now())[0], "broken", timezone.now())


@pytest.mark.django_db
@pytest.mark.parametrize("happens", [settled, refused])
def test_a_caller_waits_until_the_batch_is_settled_or_left_to_replay(
    send: Flusher, clock: Clock, worker: User, happens: Callable[[IngestBatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = recorded(worker).batch
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            happens(IngestBatch.objects.get(pk=batch.pk))

    monkeypatch.setattr(module, "sleep", sleep)
    assert send.wait_until_settled(batch, 10.0)
    assert slept == [module.POLL_SECONDS] * 3


@pytest.mark.django_db
def test_a_caller_waits_no_longer_than_requested(
    send: Flusher, clock: Clock, worker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = recorded(worker).batch

    def sleep(seconds: float) -> None:
        clock.now += 1.0

    monkeypatch.setattr(module, "sleep", sleep)
    began = clock.now
    assert not send.wait_until_settled(batch, 4.0)
    assert clock.now == began + 4.0
    assert IngestBatch.objects.get(pk=batch.pk).settled_at is None


@pytest.mark.django_db
def test_no_caller_waits_while_the_engine_is_unavailable_or_a_backup_runs(
    send: Flusher, clock: Clock, worker: User
) -> None:
    batch = recorded(worker).batch
    with pause.paused():
        assert send.wait_until_settled(batch, 0.0)
    assert not send.wait_until_settled(batch, 0.0)
    send.leave_to_others()
    assert send.wait_until_settled(batch, 0.0)
