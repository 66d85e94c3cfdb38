"""The intake journal's relational side: every step is one transaction that leaves a state from which anyone goes on.

What happens if the process dies …

* before :func:`record` commits: nothing was taken, and the caller got no answer;
* after it: the batch is durable; replay groups it once its claim has run out;
* after :func:`group` commits: replay sends that group, with the same rows under the same token;
* during or after the INSERT: replay sends it again, and every table that has it already leaves it out;
* after :func:`settle` commits: it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import pyarrow as pa
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Min, Q, Sum

from analytics import hold, inbox
from analytics.models import Batch, Group
from fonproxy.api.errors import Conflict, Unavailable

CLAIM: Final = timedelta(seconds=60)
KEYS_KEPT: Final = timedelta(hours=24)
GROUP_ROWS: Final = 100_000
GROUP_BYTES: Final = 64 * 2**20
LONGEST_BACKOFF: Final = timedelta(minutes=15)
FULL_WAIT: Final = 30

_compressed: Final = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent a batch and under which key; ``body_hash`` is None without a key, the account for a command."""

    account_id: int | None
    route: Batch.Route
    key: str | None = None
    body_hash: bytes | None = None


def find(origin: Origin, now: datetime) -> Batch | None:
    """The batch that this key stands for, if it does; Conflict when it stands for another body."""
    if origin.key is None:
        return None
    known = Batch.objects.filter(account_id=origin.account_id, route=origin.route, key=origin.key)
    batch = known.exclude(_is_forgotten(now)).defer("columns", "touched").first()
    if batch and bytes(batch.body_hash or b"") != origin.body_hash:
        raise Conflict(
            "This Idempotency-Key was used for another body within the last 24 hours.",
            code="request.idempotency_conflict",
        )
    return batch


def record(origin: Origin, table: pa.Table, *, now: datetime, claimed: bool) -> tuple[Batch, bool]:
    """Makes the batch durable; ``claimed`` keeps replay off it while its taker sends it.

    Returns the batch and whether it is new: a repeat that was faster wins, and its batch is returned instead.
    Raises Unavailable when the journal is full, Conflict when the faster one had another body.
    """
    columns = pack(table)
    _refuse_when_full(table.num_rows, len(columns))
    batch = Batch(
        account_id=origin.account_id,
        route=origin.route,
        key=origin.key,
        body_hash=origin.body_hash,
        rows=table.num_rows,
        size=len(columns),
        columns=columns,
        touched=inbox.touched_days(table),
        created_at=now,
        claimed_until=now + CLAIM if claimed else now,
        settled_at=None if table.num_rows else now,
    )
    try:
        with transaction.atomic():
            _release_expired_key(origin, now)
            batch.save(force_insert=True)
    except IntegrityError:
        earlier = find(origin, now)
        if earlier is None:  # not the key, then: the account was deleted meanwhile
            raise Unavailable("The batch could not be recorded; nothing was taken.", wait=1) from None
        return earlier, False
    return batch, True


def _release_expired_key(origin: Origin, now: datetime) -> None:
    if origin.key is not None:
        known = Batch.objects.filter(account_id=origin.account_id, route=origin.route, key=origin.key)
        known.filter(_is_forgotten(now)).update(key=None)


def _is_forgotten(now: datetime) -> Q:
    """Keys are kept for 24 hours; those of history for ever, since a file may be imported again in a year."""
    return Q(created_at__lte=now - KEYS_KEPT) & ~Q(route=Batch.Route.HISTORY)


def _refuse_when_full(rows: int, size: int) -> None:
    depth = Batch.objects.filter(settled_at=None).aggregate(rows=Sum("rows", default=0), size=Sum("size", default=0))
    if depth["rows"] + rows > settings.JOURNAL_MAX_ROWS or depth["size"] + size > settings.JOURNAL_MAX_BYTES:
        raise Unavailable("The intake journal is full until ClickHouse has caught up.", wait=FULL_WAIT)


class Depth(NamedTuple):
    """What ClickHouse does not have yet: batches, their rows and stored bytes; groups that it did not take so far."""

    batches: int
    rows: int
    size: int
    age: timedelta
    refused_groups: int


def depth(now: datetime) -> Depth:
    """The age is that of the oldest batch, nothing when none waits."""
    waiting = Batch.objects.filter(settled_at=None).aggregate(
        batches=Count("pk"), rows=Sum("rows", default=0), size=Sum("size", default=0), oldest=Min("created_at")
    )
    age = now - (waiting["oldest"] or now)
    refused = Group.objects.filter(settled_at=None, attempts__gt=0).count()
    return Depth(waiting["batches"], waiting["rows"], waiting["size"], age, refused)


def rows_taken(since: datetime) -> int:
    """Rows made durable since then, by whichever process; ``since`` lies less than 24 hours back."""
    # What was taken since then waits or was settled since then: both have an index, the time of taking has none.
    taken = Batch.objects.filter(created_at__gte=since, is_void=False)
    parts = (taken.filter(settled_at=None), taken.filter(settled_at__gte=since))
    return sum(part.aggregate(rows=Sum("rows", default=0))["rows"] for part in parts)


def group(batch_ids: Sequence[int], now: datetime) -> tuple[Group, set[int]]:
    """Decides, once, that these batches go together; returns the group and the ids that were still free to join.

    The batches are of one route. Raises Held while a backup is taken.
    """
    with transaction.atomic():
        hold.refuse_while_held()
        made = Group.objects.create(created_at=now, claimed_until=now + CLAIM)
        free = Batch.objects.filter(id__in=batch_ids, group=None, settled_at=None)
        # Locked in order, so that two that group the same batches wait for one another instead of deadlocking.
        len(free.select_for_update().order_by("id").values_list("id"))
        if free.update(group=made) == len(batch_ids):
            return made, set(batch_ids)
        return made, set(made.batches.values_list("id", flat=True))


def settle(group: Group, now: datetime) -> None:
    """Records that the engine has the group's rows, and drops them here."""
    with transaction.atomic():
        Batch.objects.filter(group=group).update(settled_at=now, columns=None)
        Group.objects.filter(id=group.id).update(settled_at=now)


def put_back(group: Group, error: str, now: datetime) -> None:
    """Gives up the claim after a failed attempt; the group is tried again after a pause that doubles each time."""
    pause = min(timedelta(seconds=2) * 2 ** min(group.attempts, 10), LONGEST_BACKOFF)
    failed = Group.objects.filter(id=group.id, settled_at=None)
    failed.update(attempts=F("attempts") + 1, last_error=error, claimed_until=now + pause)


def was_refused(batch: Batch) -> bool:
    """Whether the engine would not take the batch's group so far: then it is durable, and replay's to send."""
    return batch.group_id is not None and Group.objects.filter(id=batch.group_id, attempts__gt=0).exists()


def give_back(batch_ids: Sequence[int], now: datetime) -> None:
    """Ends the claim on batches that their taker cannot send, so that replay does not wait for it."""
    Batch.objects.filter(id__in=batch_ids, group=None).update(claimed_until=now)


def release_claims(now: datetime) -> None:
    """Ends every claim: for a process that starts and knows that no other is alive."""
    Group.objects.filter(settled_at=None).update(claimed_until=now)
    Batch.objects.filter(settled_at=None).update(claimed_until=now)


def claim_next(now: datetime) -> Group | None:
    """The oldest group that nobody is sending, or a new one of the oldest free batches; None when there is neither.

    Raises Held when there are only free batches, and a backup is being taken.
    """
    unclaimed = Q(claimed_until__lte=now, settled_at=None)
    for group_id in Group.objects.filter(unclaimed).order_by("created_at").values_list("id", flat=True):
        if Group.objects.filter(unclaimed, id=group_id).update(claimed_until=now + CLAIM):
            return Group.objects.get(id=group_id)
    free = Batch.objects.filter(unclaimed, group=None).order_by("id")
    oldest = free.values_list("route", flat=True).first()
    if oldest is None:
        return None
    of_route = free.filter(route=oldest).values_list("id", "rows", "size")
    return group(_first_that_fit(list(of_route[:10_000])), now)[0]


def _first_that_fit(batches: Sequence[tuple[int, int, int]]) -> list[int]:
    ids: list[int] = []
    total_rows = total_size = 0
    for batch_id, rows, size in batches:
        total_rows, total_size = total_rows + rows, total_size + size
        if ids and (total_rows > GROUP_ROWS or total_size > GROUP_BYTES):
            break
        ids.append(batch_id)
    return ids


class Rows(NamedTuple):
    """What one INSERT takes: the engine's table, and the rows."""

    inbox: str
    table: pa.Table


def load(group: Group) -> Rows | None:
    """The group's rows, in the order in which they are always sent; None when it has no batch."""
    batches = list(group.batches.order_by("id").exclude(columns=None))
    tables = [inbox.up_to_date(unpack(bytes(batch.columns or b""))) for batch in batches]
    return Rows(batches[0].inbox, pa.concat_tables(tables)) if tables else None


def void(batches: Iterable[Batch], now: datetime) -> list[Batch]:
    """Takes back those batches that no group holds yet, and returns them."""
    return [
        batch
        for batch in batches
        if Batch.objects.filter(id=batch.pk, group=None, settled_at=None).update(
            is_void=True, settled_at=now, columns=None
        )
    ]


def forget(now: datetime) -> int:
    """Deletes what was settled and accounted for before the keys' 24 hours; returns the number of batches."""
    long_ago = now - KEYS_KEPT
    done = Batch.objects.filter(settled_at__lt=long_ago, is_accounted=True)
    deleted, _ = done.filter(_is_forgotten(now)).delete()
    Group.objects.filter(settled_at__lt=long_ago, batches=None).delete()
    return deleted


def pack(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_compressed) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def unpack(columns: bytes) -> pa.Table:
    return pa.ipc.open_stream(columns).read_all()
