"""The ingest journal in the relational store. Each step is one transaction, and any process can do the next step.

If the process dies

* before :func:`record_all` commits: nothing was accepted and no caller got a response;
* after it: the batches are durable; replay puts them into a block once their claims have expired;
* after :func:`form_block` commits: replay sends that block, with the same rows under the same token;
* during or after the INSERT: replay sends it again, and tables that have the token ignore it;
* after :func:`settle` commits: nothing is left to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
from django.db import IntegrityError, connection
from django.db.models import Count, F, Min, Q, QuerySet, Sum

from analytics.ingest import columns as ingest_columns
from analytics.ingest import lists, pause, room
from analytics.models import IngestBatch, InsertBlock
from fonproxy.api.errors import ApiProblem, Conflict, Unavailable
from fonproxy.sqlite import taking_turns
from fonproxy.units import MIB

CLAIM: Final = timedelta(seconds=60)
KEY_RETENTION: Final = timedelta(hours=24)
BLOCK_ROWS: Final = 100_000
BLOCK_BYTES: Final = 64 * MIB
MAX_BACKOFF: Final = timedelta(minutes=15)
FULL_WAIT: Final = 30

_TABLE: Final = IngestBatch._meta.db_table
_INSERT: Final = (
    f"INSERT INTO {_TABLE} (id, account_id, route, key, body_hash, rows, size, columns, dirty_days,"
    " created_at, claimed_until, settled_at, is_void, is_accounted)"
    f" VALUES ({', '.join(['%s'] * 14)}) ON CONFLICT DO NOTHING"
)
_KNOWN: Final = f"SELECT 1 FROM {_TABLE} WHERE account_id = %s AND route = %s AND key = %s"
_ARROW: Final = b"\xff\xff\xff\xff"  # the first bytes of an Arrow stream
_compressed: Final = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True)
class BatchOrigin:
    """The sender and key of a batch. ``body_hash`` is None without a key, ``account_id`` is None for a command."""

    account_id: int | None
    route: IngestBatch.Route
    key: str | None = None
    body_hash: bytes | None = None

    @classmethod
    def of(cls, body: bytes, *, account_id: int | None, route: IngestBatch.Route, key: str | None) -> Self:
        return cls(account_id, route, key, hashlib.sha256(body).digest() if key else None)


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A validated batch to be recorded; with ``claimed``, replay leaves it to this process for a minute."""

    origin: BatchOrigin
    columns: bytes
    rows: int
    dirty_days: list[tuple[int, str]]
    now: datetime
    claimed: bool

    @classmethod
    def of(cls, origin: BatchOrigin, rows: lists.Rows, *, now: datetime, claimed: bool) -> Self:
        form = lists if isinstance(rows, lists.Lists) else ingest_columns
        return cls(origin, pack(rows), rows.num_rows, form.dirty_days_of(rows), now, claimed)

    def batch(self, number: int) -> IngestBatch:
        return IngestBatch(
            id=number,
            account_id=self.origin.account_id,
            route=self.origin.route,
            key=self.origin.key,
            body_hash=self.origin.body_hash,
            rows=self.rows,
            size=len(self.columns),
            columns=self.columns,
            dirty_days=self.dirty_days,
            created_at=self.now,
            claimed_until=self.now + CLAIM if self.claimed else self.now,
            settled_at=None if self.rows else self.now,
        )


class Recorded(NamedTuple):
    """The batch of an arrival. It is not new if another request with the same key was faster."""

    batch: IngestBatch
    is_new: bool


def find(origin: BatchOrigin, now: datetime) -> IngestBatch | None:
    """The earlier batch with this key; raises Conflict when it had another body."""
    if origin.key is None:
        return None
    if origin.account_id is not None and not _is_known(origin):
        return None  # nearly always
    batch = _of_key(origin).exclude(_is_forgotten(now)).defer("columns", "dirty_days").first()
    if batch and bytes(batch.body_hash or b"") != origin.body_hash:
        raise Conflict(
            "This Idempotency-Key was used for another body within the last 24 hours.",
            code="request.idempotency_conflict",
        )
    return batch


def record(origin: BatchOrigin, rows: lists.Rows, *, now: datetime, claimed: bool) -> Recorded:
    """Makes one batch durable. Raises Unavailable when the journal is full, Conflict for a key with another body."""
    [outcome] = record_all([Arrival.of(origin, rows, now=now, claimed=claimed)])
    if isinstance(outcome, ApiProblem):
        raise outcome
    return outcome


def record_all(arrivals: Sequence[Arrival]) -> list[Recorded | ApiProblem]:
    """Makes these batches durable in one transaction; returns their outcomes in the order of the arrivals.

    The outcome is Unavailable if the journal is full, and Conflict if the key was used with another body.
    """
    try:
        with taking_turns():
            return _record_all(arrivals)
    except IntegrityError:
        if len(arrivals) > 1:
            return [outcome for arrival in arrivals for outcome in record_all([arrival])]
    return [_refused(arrivals[0])]


def _refused(arrival: Arrival) -> Recorded | ApiProblem:
    """The outcome of an arrival that the store refused."""
    try:
        earlier = find(arrival.origin, arrival.now)
    except Conflict as conflict:
        return conflict
    if earlier is not None:
        return Recorded(earlier, False)
    # Not because of the key: the account was deleted concurrently.
    return Unavailable("The batch could not be recorded; nothing was stored.", wait=1)


def _record_all(arrivals: Sequence[Arrival]) -> list[Recorded | ApiProblem]:
    fits = room.those_that_fit([(arrival.origin.route, arrival.rows, len(arrival.columns)) for arrival in arrivals])
    ids = _next_ids(len(arrivals))
    wanted = [arrival.batch(number) for arrival, number in zip(arrivals, ids, strict=True)]
    # Sorted by key, so that two processes with the same keys do not deadlock.
    in_order = sorted(
        (batch for batch, has_room in zip(wanted, fits, strict=True) if has_room),
        key=lambda batch: (batch.account_id or 0, batch.route, batch.key or ""),
    )
    stored = _insert(in_order)
    return [
        Recorded(batch, True) if batch.pk in stored else _not_stored(arrival, batch, has_room)
        for arrival, batch, has_room in zip(arrivals, wanted, fits, strict=True)
    ]


def _insert(batches: Sequence[IngestBatch]) -> set[int]:
    """Stores the arrivals whose key is free, and returns their ids.

    Plain SQL, because the ORM takes five times as long.
    """
    if not batches:
        return set()
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, [_values(batch) for batch in batches])
        ids = [batch.pk for batch in batches]
        if cursor.rowcount == len(batches):
            return set(ids)
    return set(IngestBatch.objects.filter(id__in=ids).values_list("id", flat=True))


def _values(batch: IngestBatch) -> list[Any]:
    as_stored = connection.ops.adapt_datetimefield_value
    return [
        batch.pk,
        batch.account_id,
        str(batch.route),
        batch.key,
        batch.body_hash,
        batch.rows,
        batch.size,
        batch.columns,
        json.dumps(batch.dirty_days),
        as_stored(batch.created_at),
        as_stored(batch.claimed_until),
        as_stored(batch.settled_at),
        False,
        False,
    ]


def _not_stored(arrival: Arrival, batch: IngestBatch, has_room: bool) -> Recorded | ApiProblem:
    """The outcome of an arrival whose key is taken, perhaps by an expired batch, or for which there is no room."""
    try:
        if earlier := find(arrival.origin, arrival.now):
            return Recorded(earlier, False)
    except Conflict as conflict:
        return conflict
    if not has_room:
        return Unavailable("The ingest journal is full until ClickHouse has caught up.", wait=FULL_WAIT)
    _of_key(arrival.origin).filter(_is_forgotten(arrival.now)).update(key=None)
    batch.save(force_insert=True)
    return Recorded(batch, True)


def _next_ids(count: int) -> list[int]:
    """Ids for ``count`` new batches, which later identify the stored ones. In the caller's transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [_TABLE])
            last = (cursor.fetchone() or (0,))[0]
            return list(range(last + 1, last + 1 + count))
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [_TABLE, count])
        return [number for (number,) in cursor.fetchall()]


def _is_known(origin: BatchOrigin) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [origin.account_id, origin.route.value, origin.key])
        return cursor.fetchone() is not None


def _of_key(origin: BatchOrigin) -> QuerySet[IngestBatch]:
    return IngestBatch.objects.filter(account_id=origin.account_id, route=origin.route, key=origin.key)


def _is_forgotten(now: datetime) -> Q:
    """Keys expire after 24 hours. Keys of history do not, because a file may be imported again in a year."""
    return Q(created_at__lte=now - KEY_RETENTION) & ~Q(route=IngestBatch.Route.HISTORY)


class Depth(NamedTuple):
    """The backlog for ClickHouse: batches, rows and stored bytes, age of the oldest batch; blocks refused so far."""

    batches: int
    rows: int
    size: int
    age: timedelta
    refused_blocks: int


def depth(now: datetime) -> Depth:
    """The current depth; the age is 0 when nothing waits."""
    waiting = IngestBatch.objects.filter(settled_at=None).aggregate(
        batches=Count("pk"), rows=Sum("rows", default=0), size=Sum("size", default=0), oldest=Min("created_at")
    )
    age = now - (waiting["oldest"] or now)
    refused = InsertBlock.objects.filter(settled_at=None, attempts__gt=0).count()
    return Depth(waiting["batches"], waiting["rows"], waiting["size"], age, refused)


def rows_taken(since: datetime) -> int:
    """Rows ingested since then by all processes; ``since`` must be less than 24 hours ago."""
    # Batches of that time are unsettled or were settled since: both are indexed, ``created_at`` is not.
    taken = IngestBatch.objects.filter(created_at__gte=since, is_void=False)
    parts = (taken.filter(settled_at=None), taken.filter(settled_at__gte=since))
    return sum(part.aggregate(rows=Sum("rows", default=0))["rows"] for part in parts)


def form_block(batch_ids: Sequence[int], now: datetime) -> tuple[InsertBlock, set[int]]:
    """Puts these batches of one route into a new block; returns it and the ids that were in no block before.

    Raises Paused during a backup.
    """
    with taking_turns():
        pause.refuse_while_paused()
        made = InsertBlock.objects.create(created_at=now, claimed_until=now + CLAIM)
        free = IngestBatch.objects.filter(id__in=batch_ids, block=None, settled_at=None)
        # Locked in order, so that two processes with the same batches do not deadlock.
        len(free.select_for_update().order_by("id").values_list("id"))
        if free.update(block=made) == len(batch_ids):
            return made, set(batch_ids)
        return made, set(made.batches.values_list("id", flat=True))


def settle(block: InsertBlock, now: datetime) -> None:
    """Records that ClickHouse has the block's rows, and deletes their columns here."""
    with taking_turns():
        IngestBatch.objects.filter(block=block).update(settled_at=now, columns=None)
        InsertBlock.objects.filter(id=block.id).update(settled_at=now)


def record_failure(block: InsertBlock, error: str, now: datetime) -> None:
    """Records a failed attempt and releases the claim; the delay until the next attempt doubles each time."""
    delay = min(timedelta(seconds=2) * 2 ** min(block.attempts, 10), MAX_BACKOFF)
    failed = InsertBlock.objects.filter(id=block.id, settled_at=None)
    failed.update(attempts=F("attempts") + 1, last_error=error, claimed_until=now + delay)


def was_refused(batch: IngestBatch) -> bool:
    """Whether an attempt with the batch's block failed, so that replay will send it."""
    return batch.block_id is not None and InsertBlock.objects.filter(id=batch.block_id, attempts__gt=0).exists()


def release_batches(batch_ids: Sequence[int], now: datetime) -> None:
    """Releases the claim on batches, so that replay sends them before it would expire."""
    IngestBatch.objects.filter(id__in=batch_ids, block=None).update(claimed_until=now)


def release_claims(now: datetime) -> None:
    """Ends every claim: for a process that starts and knows that no other is running."""
    InsertBlock.objects.filter(settled_at=None).update(claimed_until=now)
    IngestBatch.objects.filter(settled_at=None).update(claimed_until=now)


def claim_next(now: datetime) -> InsertBlock | None:
    """Claims the oldest unclaimed block, else a new one of the oldest free batches; None if there is neither.

    Raises Paused during a backup if there are only free batches.
    """
    unclaimed = Q(claimed_until__lte=now, settled_at=None)
    for block_id in InsertBlock.objects.filter(unclaimed).order_by("created_at").values_list("id", flat=True):
        if InsertBlock.objects.filter(unclaimed, id=block_id).update(claimed_until=now + CLAIM):
            return InsertBlock.objects.get(id=block_id)
    free = IngestBatch.objects.filter(unclaimed, block=None).order_by("id")
    oldest = free.values_list("route", flat=True).first()
    if oldest is None:
        return None
    of_route = free.filter(route=oldest).values_list("id", "rows", "size")
    return form_block(_first_that_fit(list(of_route[:10_000])), now)[0]


def _first_that_fit(batches: Sequence[tuple[int, int, int]]) -> list[int]:
    ids: list[int] = []
    total_rows = total_size = 0
    for batch_id, rows, size in batches:
        total_rows, total_size = total_rows + rows, total_size + size
        if ids and (total_rows > BLOCK_ROWS or total_size > BLOCK_BYTES):
            break
        ids.append(batch_id)
    return ids


class Rows(NamedTuple):
    """The table and the rows of one INSERT."""

    inbox: str
    table: pa.Table


def load(block: InsertBlock) -> Rows | None:
    """The block's rows, always in the same order; None when it has no batch."""
    batches = list(block.batches.order_by("id").exclude(columns=None))
    parts = [unpack(bytes(batch.columns or b"")) for batch in batches]
    return Rows(batches[0].inbox, lists.concat(parts)) if parts else None


def void(batches: Iterable[IngestBatch], now: datetime) -> list[IngestBatch]:
    """Voids those batches that are in no block yet, and returns them."""
    return [
        batch
        for batch in batches
        if IngestBatch.objects.filter(id=batch.pk, block=None, settled_at=None).update(
            is_void=True, settled_at=now, columns=None
        )
    ]


def forget(now: datetime) -> int:
    """Deletes settled and accounted batches older than 24 hours; returns their number."""
    long_ago = now - KEY_RETENTION
    done = IngestBatch.objects.filter(settled_at__lt=long_ago, is_accounted=True)
    deleted, _ = done.filter(_is_forgotten(now)).delete()
    InsertBlock.objects.filter(settled_at__lt=long_ago, batches=None).delete()
    return deleted


def pack(rows: lists.Rows) -> bytes:
    """The columns as stored: a compressed Arrow stream, or msgpack for lists."""
    if isinstance(rows, lists.Lists):
        return lists.pack(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_compressed) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def unpack(columns: bytes) -> lists.Rows:
    if not columns.startswith(_ARROW):
        return lists.unpack(columns)
    return ingest_columns.up_to_date(pa.ipc.open_stream(columns).read_all())
