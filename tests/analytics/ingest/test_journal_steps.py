"""Each step of the journal alone: which batches and blocks it takes, and which it leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from django.db import connection

from accounts.models import User
from analytics.ingest import journal
from analytics.models import IngestBatch, InsertBlock
from fonproxy.api.errors import Conflict, Unavailable

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
ROUTE = IngestBatch.Route


def table(rows: int = 1) -> pa.Table:
    return pa.table({"at": pa.array([1] * rows, pa.uint64())})


def recorded(
    user: User, at: datetime = NOW, *, route: ROUTE = ROUTE.TRAFFIC, rows: int = 1, **origin: Any
) -> IngestBatch:
    claimed = origin.pop("claimed", False)
    return journal.record(journal.BatchOrigin(user.pk, route, **origin), table(rows), now=at, claimed=claimed).batch


def block_of(*batches: IngestBatch, at: datetime = NOW) -> InsertBlock:
    return journal.form_block([batch.pk for batch in batches], at)[0]


def unsettled() -> list[int]:
    return list(IngestBatch.objects.filter(settled_at=None).order_by("id").values_list("id", flat=True))


def test_a_batch_is_stored_with_its_key_hash_and_columns(worker: User) -> None:
    batch = recorded(worker, route=ROUTE.EVENTS, rows=3, key="k", body_hash=b"h", claimed=True)
    batch.refresh_from_db()
    assert (batch.account_id, batch.route, batch.key, bytes(batch.body_hash or b""), batch.rows) == (
        worker.pk, ROUTE.EVENTS, "k", b"h", 3,
    )  # fmt: skip
    assert batch.size == len(bytes(batch.columns or b"")) > 0
    assert (batch.created_at, batch.claimed_until, batch.settled_at) == (NOW, NOW + timedelta(seconds=60), None)
    assert (batch.is_void, batch.is_accounted, batch.block) == (False, False, None)
    free = recorded(worker)
    assert free.claimed_until == NOW
    assert recorded(worker, rows=0).settled_at == NOW
    assert len({batch.pk, free.pk}) == 2


def test_an_idempotency_key_belongs_to_one_account_and_route_for_24_hours(worker: User, alice: User) -> None:
    batch = recorded(worker, key="k", body_hash=b"h")
    others = [recorded(worker, key="k2", body_hash=b"2"), recorded(worker, route=ROUTE.EVENTS, key="k", body_hash=b"3")]
    found = [
        journal.find(journal.BatchOrigin(worker.pk, route, key, body), NOW)
        for route, key, body in ((ROUTE.TRAFFIC, "k2", b"2"), (ROUTE.EVENTS, "k", b"3"))
    ]
    assert found == others
    mine = journal.BatchOrigin(worker.pk, ROUTE.TRAFFIC, "k", b"h")
    assert journal.find(mine, NOW + DAY - MOMENT) == batch
    assert journal.find(mine, NOW + DAY) is None
    for other in (
        journal.BatchOrigin(worker.pk, ROUTE.TRAFFIC),
        journal.BatchOrigin(worker.pk, ROUTE.TRAFFIC, "l", b"h"),
        journal.BatchOrigin(worker.pk, ROUTE.EVENTS, "k2", b"2"),
        journal.BatchOrigin(alice.pk, ROUTE.TRAFFIC, "k", b"h"),
        journal.BatchOrigin(None, ROUTE.TRAFFIC, "k", b"h"),
    ):
        assert journal.find(other, NOW) is None
    with pytest.raises(Conflict, match="within the last 24 hours") as conflict:
        journal.find(journal.BatchOrigin(worker.pk, ROUTE.TRAFFIC, "k", b"other"), NOW)
    assert conflict.value.stable_code == "request.idempotency_conflict"


def test_an_idempotency_key_of_imported_history_never_expires(worker: User) -> None:
    origin = journal.BatchOrigin(None, ROUTE.HISTORY, "k", b"h")
    batch = journal.record(origin, table(), now=NOW, claimed=False).batch
    assert journal.find(origin, NOW + 365 * DAY) == batch


def test_a_repeat_of_a_key_is_the_same_batch_and_a_late_one_another(worker: User) -> None:
    batch = recorded(worker, key="k", body_hash=b"h")
    assert recorded(worker, NOW + DAY - MOMENT, key="k", body_hash=b"h") == batch
    with pytest.raises(Conflict):
        recorded(worker, key="k", body_hash=b"other")
    late = recorded(worker, NOW + DAY, key="k", body_hash=b"other")
    assert dict(IngestBatch.objects.values_list("pk", "key")) == {batch.pk: None, late.pk: "k"}


def arrival(user_id: int, key: str | None = None, body_hash: bytes | None = None) -> journal.Arrival:
    origin = journal.BatchOrigin(user_id, ROUTE.TRAFFIC, key, body_hash)
    return journal.Arrival.of(origin, table(), now=NOW, claimed=False)


@pytest.mark.django_db(transaction=True)
def test_only_the_batch_of_a_deleted_account_fails(worker: User) -> None:
    refused, kept = journal.record_all([arrival(worker.pk + 1), arrival(worker.pk)])
    assert isinstance(refused, Unavailable)
    assert refused.wait == 1
    assert isinstance(kept, journal.Recorded)
    assert [batch.pk for batch in IngestBatch.objects.all()] == [kept.batch.pk]


def test_a_batch_refused_for_its_key_is_answered_by_the_batch_with_that_key(worker: User) -> None:
    batch = recorded(worker, key="k", body_hash=b"h")
    assert journal._refused(arrival(worker.pk, "k", b"h")) == (batch, False)
    assert isinstance(journal._refused(arrival(worker.pk, "k", b"other")), Conflict)


def test_many_batches_are_stored_by_one_statement_in_the_order_of_their_keys(worker: User, alice: User) -> None:
    """Two processes with the same keys in another order would wait for each other."""
    recorded(worker, key="known", body_hash=b"h")
    stored: list[Any] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT"):
            assert many
            stored.extend((account, key) for _, account, _, key, *_ in params)
        elif '"id" FROM' in sql:
            assert '"id" IN' in sql
        return execute(sql, params, many, context)

    arrivals = [arrival(user.pk, key, b"h") for key in ("b", "a", "known") for user in (alice, worker)]
    with connection.execute_wrapper(watch):
        outcomes = journal.record_all(arrivals[:5])
        repeat = journal.record_all(arrivals[5:])
    in_order = sorted((each.origin.account_id, each.origin.key) for each in arrivals[:5])
    assert stored == [*in_order, (worker.pk, "known")]
    assert [outcome.is_new for outcome in [*outcomes, *repeat] if isinstance(outcome, journal.Recorded)] == [
        *[True] * 5,
        False,
    ]


def test_a_full_journal_answers_when_to_retry(worker: User, settings: Any) -> None:
    settings.JOURNAL_MAX_ROWS = 1
    recorded(worker)
    with pytest.raises(Unavailable, match="full until ClickHouse has caught up") as full:
        recorded(worker)
    assert full.value.wait == 30
    assert IngestBatch.objects.count() == 1


def test_a_block_takes_only_waiting_batches_without_a_block(worker: User) -> None:
    taken, settled, free = recorded(worker), recorded(worker), recorded(worker)
    block_of(taken)
    journal.void([settled], NOW)
    block, joined = journal.form_block([taken.pk, settled.pk, free.pk], NOW)
    assert joined == {free.pk}
    assert (block.created_at, block.claimed_until, block.settled_at) == (NOW, NOW + journal.CLAIM, None)
    assert list(block.batches.all()) == [free]
    other = recorded(worker)
    assert journal.form_block([other.pk], NOW)[1] == {other.pk}
    assert list(block.batches.all()) == [free]


def test_settling_a_block_drops_its_columns_and_leaves_others(worker: User) -> None:
    one, other = recorded(worker), recorded(worker)
    first, second = block_of(one), block_of(other)
    journal.settle(first, NOW + HOUR)
    assert dict(InsertBlock.objects.values_list("pk", "settled_at")) == {first.pk: NOW + HOUR, second.pk: None}
    assert unsettled() == [other.pk]
    one.refresh_from_db()
    assert (one.settled_at, one.columns) == (NOW + HOUR, None)
    assert journal.load(first) is None
    assert journal.load(second) is not None


def test_retries_of_a_failed_block_back_off_and_others_do_not(worker: User) -> None:
    block, other, done = (block_of(recorded(worker)) for _ in range(3))
    journal.settle(done, NOW)
    for failed in (block, done):
        journal.record_failure(failed, "broken", NOW)
    found = {each.pk: (each.attempts, each.last_error, each.claimed_until - NOW) for each in InsertBlock.objects.all()}
    assert found == {
        block.pk: (1, "broken", timedelta(seconds=2)),
        other.pk: (0, "", journal.CLAIM),
        done.pk: (0, "", journal.CLAIM),
    }


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 2), (1, 4), (8, 512), (9, 900), (10_000, 900)])
def test_the_retry_delay_doubles_up_to_fifteen_minutes(worker: User, attempts: int, seconds: int) -> None:
    block = block_of(recorded(worker))
    block.attempts = attempts
    journal.record_failure(block, "broken", NOW)
    block.refresh_from_db()
    assert block.claimed_until == NOW + timedelta(seconds=seconds)


def test_a_batch_counts_as_refused_after_its_own_block_failed(worker: User) -> None:
    free, fresh, failed = recorded(worker), recorded(worker), recorded(worker)
    block_of(fresh)
    journal.record_failure(block_of(failed), "broken", NOW)
    for batch in (free, fresh, failed):
        batch.refresh_from_db()
    assert [journal.was_refused(batch) for batch in (free, fresh, failed)] == [False, False, True]


def test_releasing_claims_skips_batches_in_a_block(worker: User) -> None:
    batches = [recorded(worker, claimed=True) for _ in range(3)]
    mine, other, in_block = batches
    block_of(in_block)
    journal.release_batches([mine.pk, in_block.pk], NOW)
    claims = dict(IngestBatch.objects.values_list("pk", "claimed_until"))
    assert claims == {mine.pk: NOW, other.pk: NOW + journal.CLAIM, in_block.pk: NOW + journal.CLAIM}


def test_a_start_releases_the_claims_of_waiting_batches(worker: User) -> None:
    batch, settled = (recorded(worker, claimed=True) for _ in range(2))
    block, done = block_of(batch), block_of(settled)
    journal.settle(done, NOW)
    journal.release_claims(NOW + MOMENT)
    assert dict(InsertBlock.objects.values_list("pk", "claimed_until")) == {
        block.pk: NOW + MOMENT,
        done.pk: NOW + journal.CLAIM,
    }
    assert dict(IngestBatch.objects.values_list("pk", "claimed_until")) == {
        batch.pk: NOW + MOMENT,
        settled.pk: NOW + journal.CLAIM,
    }


def test_blocks_are_claimed_before_free_batches_and_the_oldest_first(worker: User) -> None:
    free = recorded(worker, NOW - DAY)
    late, early = block_of(recorded(worker)), block_of(recorded(worker), at=NOW - HOUR)
    journal.settle(block_of(recorded(worker), at=NOW - DAY), NOW)
    after = NOW + journal.CLAIM
    claimed = [journal.claim_next(after) for _ in range(4)]
    assert claimed[:2] == [early, late]
    assert claimed[2] is not None
    assert list(claimed[2].batches.all()) == [free]
    assert claimed[3] is None
    assert set(InsertBlock.objects.filter(settled_at=None).values_list("claimed_until", flat=True)) == {
        after + journal.CLAIM
    }


def test_a_claim_lasts_until_its_end(worker: User) -> None:
    block = block_of(recorded(worker))
    assert journal.claim_next(NOW + journal.CLAIM - MOMENT) is None
    assert journal.claim_next(NOW + journal.CLAIM) == block


def test_a_block_of_free_batches_takes_the_route_of_the_oldest(worker: User) -> None:
    batches = [recorded(worker, route=route) for route in (ROUTE.EVENTS, ROUTE.TRAFFIC, ROUTE.EVENTS)]
    claimed = recorded(worker, route=ROUTE.EVENTS, claimed=True)
    blocks = [journal.claim_next(NOW) for _ in range(3)]
    assert [list(block.batches.order_by("id")) for block in blocks if block] == [[batches[0], batches[2]], [batches[1]]]
    assert blocks[2] is None
    claimed.refresh_from_db()
    assert claimed.block is None


@pytest.mark.parametrize(
    ("batches", "fit"),
    [
        ([(1, 3, 30), (2, 2, 20), (3, 1, 1)], [1, 2]),
        ([(1, 3, 30), (2, 1, 21), (3, 1, 1)], [1]),
        ([(1, 6, 10), (2, 1, 1)], [1]),
        ([(1, 1, 60), (2, 1, 1)], [1]),
        ([(1, 5, 50)], [1]),
        ([], []),
    ],
)
def test_a_block_is_limited_in_rows_and_bytes_but_has_at_least_one_batch(
    batches: list[tuple[int, int, int]], fit: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BLOCK_ROWS", 5)
    monkeypatch.setattr(journal, "BLOCK_BYTES", 50)
    assert journal._first_that_fit(batches) == fit


def test_a_block_is_loaded_in_batch_order_without_empty_batches(worker: User) -> None:
    batches = [recorded(worker, rows=rows) for rows in (1, 2, 3)]
    block = block_of(*reversed(batches))
    IngestBatch.objects.filter(pk=batches[1].pk).update(columns=None)
    rows = journal.load(block)
    assert rows is not None
    assert (rows.inbox, rows.table.num_rows) == (batches[0].inbox, 4)


def test_waiting_batches_are_counted(worker: User) -> None:
    assert journal.depth(NOW) == (0, 0, 0, timedelta(0), 0)
    batches = [recorded(worker, NOW - age, rows=rows) for age, rows in ((3 * HOUR, 5), (2 * HOUR, 3), (HOUR, 2))]
    settled, refused, _ = (block_of(batch) for batch in batches)
    journal.record_failure(settled, "broken", NOW)
    journal.settle(settled, NOW)
    journal.record_failure(refused, "broken", NOW)
    size = sum(batch.size for batch in batches[1:])
    assert journal.depth(NOW) == (2, 5, size, 2 * HOUR, 1)


def test_accepted_rows_are_counted_since_a_time_without_voided_batches(worker: User) -> None:
    old, void, sent, _ = (
        recorded(worker, at, rows=rows) for at, rows in ((NOW - MOMENT, 1), (NOW, 10), (NOW, 100), (NOW + HOUR, 1000))
    )
    journal.void([void], NOW + HOUR)
    for batch in (old, sent):
        journal.settle(block_of(batch), NOW + HOUR)
    assert journal.rows_taken(NOW) == 1100
    assert journal.rows_taken(NOW + HOUR + MOMENT) == 0


def test_only_waiting_batches_outside_a_block_can_be_voided(worker: User) -> None:
    in_block, sent, waiting, other = (recorded(worker) for _ in range(4))
    block_of(in_block)
    journal.settle(block_of(sent), NOW)
    assert journal.void([in_block, sent, waiting], NOW + HOUR) == [waiting]
    assert journal.void([waiting], NOW + 2 * HOUR) == []
    waiting.refresh_from_db()
    assert (waiting.is_void, waiting.settled_at, waiting.columns) == (True, NOW + HOUR, None)
    assert unsettled() == [in_block.pk, other.pk]


def test_settled_and_metered_batches_are_forgotten_after_24_hours(worker: User) -> None:
    batches = [recorded(worker) for _ in range(4)]
    for batch in batches[:3]:
        journal.settle(block_of(batch), NOW + HOUR)
    IngestBatch.objects.exclude(pk=batches[1].pk).update(is_accounted=True)
    history = recorded(worker, route=ROUTE.HISTORY, key="h", body_hash=b"h")
    journal.settle(block_of(history), NOW)
    IngestBatch.objects.filter(pk=history.pk).update(is_accounted=True)
    IngestBatch.objects.filter(pk=batches[2].pk).update(settled_at=NOW + HOUR + MOMENT)
    InsertBlock.objects.filter(batches=batches[2].pk).update(settled_at=NOW + HOUR + MOMENT)
    assert journal.forget(NOW + HOUR + DAY) == 0
    assert InsertBlock.objects.count() == 4
    assert journal.forget(NOW + HOUR + DAY + MOMENT) == 1
    kept = {batches[1].pk, batches[2].pk, batches[3].pk, history.pk}
    assert set(IngestBatch.objects.values_list("pk", flat=True)) == kept
    assert set(InsertBlock.objects.values_list("batches", flat=True)) == kept - {batches[3].pk}


def test_a_block_without_batches_is_forgotten_only_once_it_is_settled(db: None) -> None:
    waiting = InsertBlock.objects.create(created_at=NOW, claimed_until=NOW)
    InsertBlock.objects.create(created_at=NOW, claimed_until=NOW, settled_at=NOW)
    journal.forget(NOW + DAY)
    assert InsertBlock.objects.count() == 2
    journal.forget(NOW + DAY + MOMENT)
    assert list(InsertBlock.objects.all()) == [waiting]


def test_columns_are_stored_compressed_and_read_as_they_were() -> None:
    many = pa.table({"at": pa.array([1] * 100_000, pa.uint64())})
    packed = journal.pack(many)
    assert len(packed) < many.nbytes / 10
    assert journal.unpack(packed) == many
