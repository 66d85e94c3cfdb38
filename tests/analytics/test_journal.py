"""The journal: what is accepted is durable, and reaches the engine once, whatever the engine does meanwhile."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import time_machine
from django.db import InterfaceError, connections
from django.db.models.functions import Now
from django.utils import timezone

from analytics import hold, journal, tasks
from analytics.models import Batch, Group, Hold
from analytics.traffic.rows import to_inbox
from analytics.writer import Writer, _Queued, recover
from fonproxy.clickhouse.client import Client, get_client
from tests.analytics.helpers import TABLES, body_of, counted, documented_row, engine_away, push

pytestmark = pytest.mark.django_db


def recover_later() -> None:
    """When the claims of whoever was sending have run out: on a server a peer may still be alive until then."""
    with time_machine.travel(timezone.now() + journal.CLAIM + timedelta(seconds=1)):
        recover()


def test_rows_taken_while_the_engine_is_away_are_readable_after_its_return(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    client = client_for(worker, "ingest")
    with engine_away():
        assert push(client, [documented_row()]).status_code == 204
        assert push(client, [documented_row(count=5)]).status_code == 204
        assert Batch.objects.filter(settled_at=None).count() == 2
    tasks.replay_journal()  # the group that failed keeps its distance for a moment; the other one goes at once
    with time_machine.travel(timezone.now() + timedelta(seconds=3)):
        tasks.replay_journal()
    assert {table: counted(get_client(), table) for table in TABLES} == dict.fromkeys(TABLES, (2, 17))
    assert not Batch.objects.filter(settled_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_while_a_group_hangs_others_are_taken_without_it_and_all_count_once(
    clean_engine: Client, client_for: Any, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.writer.STUCK_SECONDS", 1.0)
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
    statuses += [push(second, [documented_row()]).status_code for _ in range(3)]  # the first of them waits a little
    assert (statuses, Batch.objects.filter(settled_at=None).count()) == ([204] * 3, 4)
    goes_on.set()
    hangs.join(30)
    tasks.replay_journal()
    assert statuses == [204] * 4
    assert {table: counted(get_client(), table) for table in TABLES} == dict.fromkeys(TABLES, (4, 48))


def test_a_repeat_during_the_outage_is_taken_and_counted_once(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    client = client_for(worker, "ingest")
    rows = [documented_row()]
    with engine_away():
        answers = [push(client, rows, **{"Idempotency-Key": "k"}).status_code for _ in range(3)]
    recover_later()
    assert (answers, counted(get_client(), "traffic")) == ([204] * 3, (1, 12))


def test_replaying_a_group_that_the_engine_has_changes_no_table(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    with engine_away():
        push(client_for(worker, "ingest"), [documented_row()])
    group = Group.objects.get()
    rows = journal.load(group)
    assert rows is not None
    get_client().insert(rows.inbox, rows.table, token=str(group.id))  # as a sender that died before it could settle
    recover_later()
    assert {name: counted(get_client(), name) for name in TABLES} == dict.fromkeys(TABLES, (1, 12))
    assert Group.objects.get().settled_at


def test_a_full_journal_takes_nothing(clean_engine: Client, client_for: Any, worker: Any, settings: Any) -> None:
    settings.JOURNAL_MAX_ROWS = 1
    client = client_for(worker, "ingest")
    with engine_away():
        assert push(client, [documented_row()]).status_code == 204
        refused = push(client, [documented_row()])
    assert (refused.status_code, int(refused["Retry-After"]) > 0) == (503, True)
    assert Batch.objects.count() == 1


def test_a_batch_is_sent_by_its_taker_alone_while_its_claim_lasts(worker: Any, clean_engine: Client) -> None:
    now = timezone.now()
    batch = _recorded(worker, now)
    assert journal.claim_next(now) is None
    group = journal.claim_next(now + journal.CLAIM)
    assert group is not None
    batch.refresh_from_db()
    assert batch.group == group


def test_of_two_that_group_a_batch_one_gets_it(worker: Any, clean_engine: Client) -> None:
    now = timezone.now()
    batch = _recorded(worker, now)
    (_, first), (_, second) = journal.group([batch.pk], now), journal.group([batch.pk], now)
    assert (first, second) == ({batch.pk}, set())


def test_a_group_that_fails_is_left_alone_for_longer_each_time(worker: Any, clean_engine: Client) -> None:
    now = timezone.now()
    group, _ = journal.group([_recorded(worker, now).pk], now)
    pauses = []
    for _ in range(12):
        journal.put_back(group, "it would not", now)
        group.refresh_from_db()
        pauses.append(group.claimed_until - now)
    assert pauses[:3] == [timedelta(seconds=2), timedelta(seconds=4), timedelta(seconds=8)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == journal.LONGEST_BACKOFF
    assert journal.claim_next(now + timedelta(minutes=1)) is None


def test_a_group_that_the_engine_can_never_take_does_not_hold_up_the_others(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    poison = _recorded(worker, timezone.now())
    group, _ = journal.group([poison.pk], timezone.now() - timedelta(hours=1))
    rows = journal.load(group)
    assert rows is not None
    Batch.objects.filter(pk=poison.pk).update(
        columns=journal.pack(rows.table.rename_columns(["no_such", *rows.table.column_names[1:]]))
    )
    with engine_away():
        push(client_for(worker, "ingest"), [documented_row()])
    with time_machine.travel(timezone.now() + timedelta(seconds=3)):
        tasks.replay_journal()
    assert counted(get_client(), "traffic") == (1, 12)
    group.refresh_from_db()
    assert (group.settled_at, group.attempts) == (None, 1)
    assert "no_such" in group.last_error


def test_a_batch_that_was_not_sent_can_be_voided_and_one_that_was_cannot(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    sent_or_sending, waiting = _recorded(worker, timezone.now()), _recorded(worker, timezone.now())
    journal.group([sent_or_sending.pk], timezone.now())
    assert journal.void(Batch.objects.order_by("id"), timezone.now()) == [waiting]
    recover_later()
    assert counted(get_client(), "traffic") == (1, 12)


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
        assert Batch.objects.count() == 2  # the ledger has not looked at the first one yet
        Batch.objects.update(is_accounted=True)
        tasks.forget_settled_batches()
    assert (Batch.objects.count(), counted(clean_engine, "traffic")) == (1, (2, 13))


def test_a_batch_that_waits_for_the_engine_is_never_forgotten(clean_engine: Client, worker: Any) -> None:
    _recorded(worker, timezone.now() - timedelta(days=3))
    tasks.forget_settled_batches()
    assert Batch.objects.count() == 1


def test_the_days_that_a_batch_touches_are_kept_with_it(clean_engine: Client, client_for: Any, worker: Any) -> None:
    rows = [
        documented_row(ts=ts, order_id=order)
        for ts, order in (("2026-10-01 23:59:59", 3), ("2026-10-02 00:00:00", 3), ("2026-10-02 10:00:00", 4))
    ]
    with time_machine.travel("2026-10-03T00:00:00Z"):
        push(client_for(worker, "ingest"), [*rows, *rows])
    assert Batch.objects.get().touched == [[3, "2026-10-01"], [3, "2026-10-02"], [4, "2026-10-02"]]


def _recorded(user: Any, now: Any) -> Batch:
    """A batch as its taker leaves it when it dies before grouping it."""
    table = to_inbox(body_of([documented_row()]), timezone.now())
    return journal.record(journal.Origin(user.pk, Batch.Route.TRAFFIC), table, now=now, claimed=True)[0]


def test_during_a_backup_rows_are_taken_but_not_sent_and_afterwards_they_are(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    client, rows = client_for(worker, "ingest"), [documented_row()]
    with hold.held():
        answers = [push(client, rows, **{"Idempotency-Key": "k"}).status_code for _ in range(2)]
        tasks.replay_journal()
        assert (answers, counted(get_client(), "traffic")) == ([204] * 2, (0, 0))
        with pytest.raises(hold.HoldLost), hold.held():
            pass
    tasks.replay_journal()
    assert counted(get_client(), "traffic") == (1, 12)


def test_the_hold_of_a_backup_that_was_killed_ends_by_itself(
    clean_engine: Client, client_for: Any, worker: Any
) -> None:
    Hold.objects.update_or_create(pk=Hold.THE_ONE, defaults={"until": Now() + hold.LENGTH})
    push(client_for(worker, "ingest"), [documented_row()])
    tasks.replay_journal()
    assert counted(get_client(), "traffic") == (0, 0)
    recover_later()  # a clock that goes ahead ends no hold: it is the relational store's that counts
    assert counted(get_client(), "traffic") == (0, 0)
    Hold.objects.update(until=Now())  # as when its length is over
    recover_later()
    assert counted(get_client(), "traffic") == (1, 12)


def test_a_batch_that_waits_no_longer_is_left_to_replay_also_when_the_database_hangs_up(
    clean_engine: Client, worker: Any
) -> None:
    batch, waiting = _recorded(worker, timezone.now()), Writer()
    queued = _Queued(batch, journal.unpack(bytes(batch.columns or b"")))
    waiting._queue.append(queued)
    with mock.patch.object(journal, "give_back", side_effect=InterfaceError("connection already closed")):
        waiting._leave(queued)
    recover_later()
    assert counted(get_client(), "traffic") == (1, 12)


def test_a_backup_whose_hold_ran_out_on_the_way_is_none(db: None) -> None:
    with pytest.raises(hold.HoldLost, match="rows may have been sent meanwhile"), hold.held():
        Hold.objects.update(until=Now())
