"""Batches that arrive at the same time are recorded together, each with its own outcome."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connections
from django.utils import timezone

from accounts.models import User
from analytics.ingest import journal
from analytics.ingest.flusher import Flusher
from analytics.ingest.group_commit import GroupCommit
from analytics.models import IngestBatch, InsertBlock
from analytics.traffic.ingest_columns import pushed_rows
from fonproxy.api.errors import Conflict, Unavailable
from fonproxy.clickhouse.client import Client, get_client
from tests.analytics.helpers import TABLES, body_of, counted, documented_row, engine_unavailable


def arrival(account_id: int, key: str | None = None, *, count: int = 12, hours_ago: int = 0) -> journal.Arrival:
    now = timezone.now() - timedelta(hours=hours_ago)
    body = body_of([documented_row(count=count)])
    origin = journal.BatchOrigin(
        account_id, IngestBatch.Route.TRAFFIC, key, hashlib.sha256(body).digest() if key is not None else None
    )
    return journal.Arrival.of(origin, pushed_rows(body, timezone.now()), now=now, claimed=True)


@pytest.mark.django_db
def test_the_first_use_of_a_key_in_a_group_counts_and_the_others_are_repeats_or_conflicts(worker: Any) -> None:
    other = User.objects.create_user("other worker")
    group = [
        arrival(worker.pk, "a"),
        arrival(worker.pk),
        arrival(worker.pk, "a"),
        arrival(worker.pk, "a", count=1),
        arrival(other.pk, "a", count=1),
        arrival(worker.pk),
    ]
    first, second, repeat, conflict, elsewhere, last = journal.record_all(group)
    assert isinstance(conflict, Conflict)
    recorded = [outcome for outcome in (first, second, elsewhere, last) if isinstance(outcome, journal.Recorded)]
    assert [outcome.is_new for outcome in recorded] == [True] * 4
    assert isinstance(first, journal.Recorded)
    assert isinstance(repeat, journal.Recorded)
    assert (repeat.is_new, repeat.batch.pk) == (False, first.batch.pk)
    stored = IngestBatch.objects.order_by("id")
    assert [batch.pk for batch in stored] == sorted(outcome.batch.pk for outcome in recorded)
    for outcome, sent in zip(recorded, (group[0], group[1], group[4], group[5]), strict=True):
        batch = IngestBatch.objects.get(pk=outcome.batch.pk)
        assert (bytes(batch.columns or b""), batch.key) == (sent.columns, sent.origin.key)


@pytest.mark.django_db
def test_an_expired_key_in_a_group_goes_to_its_first_new_use(worker: Any) -> None:
    [old] = journal.record_all([arrival(worker.pk, "k", hours_ago=25)])
    again, repeat = journal.record_all([arrival(worker.pk, "k", count=1), arrival(worker.pk, "k", count=1)])
    assert isinstance(old, journal.Recorded)
    assert isinstance(again, journal.Recorded)
    assert isinstance(repeat, journal.Recorded)
    assert (again.is_new, repeat.is_new, repeat.batch.pk) == (True, False, again.batch.pk)
    assert dict(IngestBatch.objects.values_list("pk", "key")) == {old.batch.pk: None, again.batch.pk: "k"}


@pytest.mark.django_db
def test_a_nearly_full_journal_accepts_the_batches_that_fit_and_repeats_of_them(worker: Any, settings: Any) -> None:
    settings.JOURNAL_MAX_ROWS = 2
    group = [arrival(worker.pk, key) for key in "abc"]
    assert [isinstance(outcome, Unavailable) for outcome in journal.record_all(group)] == [False, False, True]
    [repeat, refused] = journal.record_all([arrival(worker.pk, "a"), arrival(worker.pk, "c")])
    assert isinstance(repeat, journal.Recorded)
    assert isinstance(refused, Unavailable)
    assert IngestBatch.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_batch_of_a_deleted_account_fails_alone(worker: Any) -> None:
    deleted = User.objects.create_user("deleted")
    number = deleted.pk
    deleted.delete()
    first, refused, last = journal.record_all([arrival(worker.pk, "a"), arrival(number, "b"), arrival(worker.pk)])
    assert isinstance(first, journal.Recorded)
    assert isinstance(refused, Unavailable)
    assert isinstance(last, journal.Recorded)
    assert set(IngestBatch.objects.values_list("id", flat=True)) == {first.batch.pk, last.batch.pk}


def in_one_group(committer: GroupCommit, group: list[journal.Arrival]) -> list[journal.Recorded | Exception]:
    """The outcomes of the arrivals of as many threads, in order."""

    def record(one: journal.Arrival) -> journal.Recorded | Exception:
        try:
            return committer.record(one)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(group)) as pool:
        with committer._recording:
            outcomes = []
            for number, one in enumerate(group, 1):
                outcomes.append(pool.submit(record, one))
                while len(committer._waiting) < number:
                    time.sleep(0.001)
        return [outcome.result(30) for outcome in outcomes]


@pytest.mark.django_db(transaction=True)
def test_each_waiting_thread_gets_its_own_outcome_of_one_transaction(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    record_all = journal.record_all

    def counting(arrivals: Any) -> Any:
        groups.append(len(arrivals))
        return record_all(arrivals)

    monkeypatch.setattr(journal, "record_all", counting)
    keys = ["a", "b", "a", None, None, "c"]
    outcomes = in_one_group(GroupCommit(), [arrival(worker.pk, key) for key in keys])
    assert groups == [6]
    recorded = [outcome for outcome in outcomes if isinstance(outcome, journal.Recorded)]
    assert [outcome.is_new for outcome in recorded] == [True, True, False, True, True, True]
    assert [outcome.batch.key for outcome in recorded] == keys


@pytest.mark.django_db(transaction=True)
def test_a_failing_store_fails_its_group_and_not_the_next(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    committer = GroupCommit()

    def failing(arrivals: Any) -> Any:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "record_all", failing)
        outcomes = in_one_group(committer, [arrival(worker.pk, key) for key in "ab"])
    assert [type(outcome) for outcome in outcomes] == [OperationalError] * 2
    assert committer.record(arrival(worker.pk, "a")).is_new
    assert IngestBatch.objects.count() == 1


@pytest.fixture
def sending() -> Iterator[Flusher]:
    """A flusher with its thread."""
    flusher = Flusher()
    flusher.start()
    yield flusher
    flusher.stop()


@pytest.mark.django_db(transaction=True)
def test_batches_without_waiting_callers_are_sent_as_one_block(
    clean_engine: Client, worker: Any, sending: Flusher
) -> None:
    for _ in range(5):
        write_later(sending, arrival(worker.pk))
    sending.stop()  # sends the rest at once
    assert {table: counted(clean_engine, table) for table in TABLES} == dict.fromkeys(TABLES, (5, 60))
    assert InsertBlock.objects.count() == 1


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, clean_engine: Client, worker: Any, sending: Flusher) -> Flusher:
    """The queue of this flusher is at its maximum, and not due until a caller waits."""
    monkeypatch.setattr("analytics.ingest.journal.BLOCK_ROWS", 2)
    monkeypatch.setattr("analytics.ingest.flusher.LATER_SECONDS", 3600.0)
    for _ in range(5):
        write_later(sending, arrival(worker.pk))
    assert (counted(clean_engine, "traffic"), len(sending._queue)) == ((0, 0), 5)
    return sending


def write_later(sending: Flusher, new: journal.Arrival) -> None:
    sending.write(journal.record_all([new])[0].batch, journal.unpack(new.columns), waits=False)  # type: ignore[union-attr]


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_push_waits_when_the_queue_is_full(clean_engine: Client, worker: Any, full: Flusher) -> None:
    assert {queued.batch.columns for queued in full._queue} == {None}
    write_later(full, arrival(worker.pk))
    assert counted(clean_engine, "traffic") == (6, 72)
    write_later(full, arrival(worker.pk))  # there is room again
    assert (counted(clean_engine, "traffic"), len(full._queue)) == ((6, 72), 1)


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_push_waits_when_others_are_overdue(
    clean_engine: Client, worker: Any, sending: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending._condition:  # the sending thread cannot continue
        for _ in range(3):
            write_later(sending, arrival(worker.pk))
        monkeypatch.setattr("analytics.ingest.flusher.OVERDUE_SECONDS", -1.0)
        assert sending._is_behind()
        monkeypatch.setattr("analytics.ingest.flusher.OVERDUE_SECONDS", 3600.0)
        assert not sending._is_behind()
        monkeypatch.setattr("analytics.ingest.flusher.OVERDUE_SECONDS", -1.0)
    write_later(sending, arrival(worker.pk))
    assert counted(clean_engine, "traffic") == (4, 48)


@pytest.mark.django_db(transaction=True)
def test_with_a_full_queue_and_no_engine_a_push_is_left_to_replay(
    clean_engine: Client, worker: Any, full: Flusher
) -> None:
    with engine_unavailable():
        write_later(full, arrival(worker.pk))
        assert IngestBatch.objects.filter(settled_at=None).count() == 6
        assert len(full._queue) == 0
    with time_machine.travel(timezone.now() + timedelta(seconds=3)):  # failed blocks wait for their delay
        full.replay()
    assert counted(get_client(), "traffic") == (6, 72)


@pytest.mark.django_db(transaction=True)
def test_a_block_waits_only_briefly_for_a_push_that_is_being_read(
    clean_engine: Client, worker: Any, sending: Flusher
) -> None:
    new = arrival(worker.pk)
    with sending.reading():  # as long as it takes
        sending.write(journal.record_all([new])[0].batch, journal.unpack(new.columns))  # type: ignore[union-attr]
        assert counted(clean_engine, "traffic") == (1, 12)


@pytest.mark.django_db
def test_without_the_thread_every_batch_is_sent_by_its_caller(clean_engine: Client, worker: Any) -> None:
    new = arrival(worker.pk)
    Flusher().write(journal.record_all([new])[0].batch, journal.unpack(new.columns), waits=False)  # type: ignore[union-attr]
    assert counted(clean_engine, "traffic") == (1, 12)
