"""Counts what the counters of running connections grew by, exactly once.

Each session has a row with the largest counters seen. A sample adds what it exceeds them by: a repeated or overtaken
sample adds nothing, and after a lost one the next adds for both. The row and the journal's batch of what was added are
written in one transaction. What happens if the process dies …

* before the transaction commits: neither the row nor the batch is there, the gateway got no answer, and its next
  sample, or the same again, adds everything;
* after it: the row and the batch are durable. The gateway may send the sample again, which adds nothing; the rows reach
  the engine once by the journal's own rules (``analytics.ingest.journal``), readable at the latest after replay;
* after the INSERT, before the answer: as after the commit.

Samples of one login wait for one another at its row, so that two first samples of a session make one row.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import pyarrow as pa
from django.db import IntegrityError
from django.db.models import Count

from analytics.gateway.samples import KEPT, SessionSample, refuse
from analytics.ingest import columns as ingest_columns
from analytics.ingest import service as ingest_service
from analytics.ingest.attribution import Attribution, AttributionMap, RowOwner
from analytics.ingest.journal import BatchOrigin
from analytics.ingest.row_errors import MAX_NAMED_ROWS
from analytics.models import IngestBatch
from fonproxy.api.errors import FieldError, Unavailable
from orders.models import SESSION_SILENCE, Order, ProxySession, ProxyUser

IDENTITY: Final = ["session", "worker", "login", "started_at"]
CHANGING: Final = ["bytes_sent", "bytes_received", "requests", "domain", "ip_from", "seen_at", "ended_at"]

Key = tuple[str, str, str]

log = logging.getLogger(__name__)


class Growth(NamedTuple):
    bytes_sent: int = 0
    bytes_received: int = 0
    requests: int = 0

    def plus(self, other: Growth) -> Growth:
        return Growth(*(mine + others for mine, others in zip(self, other, strict=True)))


def record(samples: Sequence[SessionSample], account_id: int, now: datetime, *, skip_unknown: bool = False) -> None:
    """Returns when the increase of the counters is durable; raises InvalidInput, having stored nothing, for unknown
    logins.

    With ``skip_unknown`` samples of unknown logins are left out and logged.
    """
    origin = BatchOrigin(account_id, IngestBatch.Route.SESSIONS)
    try:
        ingest_service.ingest_table(origin, lambda: _grow_rows(samples, now, skip_unknown), now)
    except IntegrityError:  # the customer was erased concurrently
        raise Unavailable("A customer was erased concurrently; nothing was stored.", wait=1) from None


def _grow_rows(samples: Sequence[SessionSample], now: datetime, skip_unknown: bool) -> pa.Table:
    """Saves the sessions with their new counters and returns the increase as rows; in the caller's transaction."""
    users = _locked_users({sample.login for sample in samples})
    known = _locked_sessions(samples)
    growths: dict[int, tuple[ProxySession, Growth]] = {}
    errors: list[FieldError] = []
    for index, sample in enumerate(samples):
        epochs = known[sample.session, sample.worker, sample.login]
        session = find_epoch(epochs, sample) or _new_session(sample, users.get(sample.login), epochs, now)
        if isinstance(session, str):
            errors.append(FieldError("login" if sample.login not in users else "startedAt", session, index))
            continue
        before = growths.get(id(session), (session, Growth()))[1]
        growths[id(session)] = session, before.plus(grow(session, sample, now))
    if skip_unknown and errors:
        log.warning("samples of unknown logins were left out", extra={"samples": len(errors)})
    elif errors:
        refuse(errors[:MAX_NAMED_ROWS])
    _save(session for epochs in known.values() for session in epochs)
    return _table([(session, growth) for session, growth in growths.values() if any(growth)], now)


class _Login(NamedTuple):
    number: int
    order_id: int


def _locked_users(logins: set[str]) -> dict[str, _Login]:
    users = ProxyUser.objects.select_for_update().filter(login__in=logins).order_by("pk")
    return {login: _Login(number, order_id) for login, number, order_id in users.values_list("login", "pk", "order_id")}


def _locked_sessions(samples: Iterable[SessionSample]) -> defaultdict[Key, list[ProxySession]]:
    """All sessions with the names of these samples; sessions with the same name differ in their start."""
    keys = {(sample.session, sample.worker, sample.login) for sample in samples}
    sessions = ProxySession.objects.select_for_update()
    known: defaultdict[Key, list[ProxySession]] = defaultdict(list)
    for session in sessions.filter(session__in={key[0] for key in keys}).order_by("pk"):
        if (key := (session.session, session.worker, session.login)) in keys:
            known[key].append(session)
    return known


def find_epoch(epochs: Iterable[ProxySession], sample: SessionSample) -> ProxySession | None:
    """Pure: the session with that start; without a start, the newest unless its counters are ahead of the sample's."""
    if sample.started_at is not None:
        near = [s for s in epochs if abs(s.started_at - sample.started_at) <= sample.tolerance]
        started_at = sample.started_at
        return min(near, key=lambda session: abs(session.started_at - started_at), default=None)
    newest = max(epochs, key=lambda session: session.started_at, default=None)
    return None if newest is None or _is_behind(sample, newest) else newest


def _is_behind(sample: SessionSample, session: ProxySession) -> bool:
    """Whether a counter has decreased: the proxy server has restarted."""
    return (
        sample.bytes_sent < session.bytes_sent
        or sample.bytes_received < session.bytes_received
        or sample.requests < session.requests
    )


def _new_session(
    sample: SessionSample, user: _Login | None, epochs: list[ProxySession], now: datetime
) -> ProxySession | str:
    """A new session, which ends those that started before it; or the reason why there is none."""
    if user is None:
        return "No such proxy user is known."
    started_at = sample.started_at or now
    if started_at < now - KEPT:
        return f"Started more than {KEPT.days} days ago without a recent report: it may have been counted."
    for earlier in epochs:
        if earlier.started_at < started_at and earlier.ended_at is None:
            earlier.ended_at = now
    session = ProxySession(
        session=sample.session,
        worker=sample.worker,
        login=sample.login,
        started_at=started_at,
        is_sum=sample.started_at is None,
        order_id=user.order_id,
        proxy_user_number=user.number,
        ended_at=now if any(other.started_at > started_at for other in epochs) else None,
    )
    epochs.append(session)
    return session


def grow(session: ProxySession, sample: SessionSample, now: datetime) -> Growth:
    """Raises the session's counters to those of the sample where they are larger; returns the increase."""
    growth = Growth(
        max(sample.bytes_sent - session.bytes_sent, 0),
        max(sample.bytes_received - session.bytes_received, 0),
        max(sample.requests - session.requests, 0),
    )
    session.bytes_sent += growth.bytes_sent
    session.bytes_received += growth.bytes_received
    session.requests += growth.requests
    session.domain = sample.domain or session.domain
    session.ip_from = sample.ip_from or session.ip_from
    session.seen_at = now
    if sample.ended:
        session.ended_at = session.ended_at or now
    elif session.is_sum:
        session.ended_at = None
    return growth


def _save(sessions: Iterable[ProxySession]) -> None:
    rows = list(sessions)
    for row in rows:
        row.pk = None  # found by its identity, because SQLite would report the conflict of the primary key first
    ProxySession.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=IDENTITY, update_fields=CHANGING, batch_size=1000
    )


def _table(growths: Sequence[tuple[ProxySession, Growth]], now: datetime) -> pa.Table:
    """The increases of sessions, as inbox rows with the current time."""
    orders = Order.objects.select_related("product").in_bulk({session.order_id for session, _ in growths})
    owners = [RowOwner(orders[session.order_id].user_id, session.order_id, session.login) for session, _ in growths]
    attributions: dict[tuple[int, int, str], Attribution] = {
        owner: Attribution(
            owner.user_id, owner.order_id, orders[owner.order_id].product.network, session.proxy_user_number
        )
        for owner, (session, _) in zip(owners, growths, strict=True)
    }
    directory = AttributionMap(attributions, {})
    running = _running({session.worker for session, _ in growths}, now)
    empty, zeros = [""] * len(growths), [0] * len(growths)
    columns: dict[str, Any] = {
        "ts": pa.array([now] * len(growths), pa.timestamp("us", tz="UTC")),
        "who": owners,
        **dict.fromkeys(("protocol", "ip_out", "peer_id", "error", "country"), empty),
        **dict.fromkeys(("port", "error_count", "duration_ms"), zeros),
        "worker": [session.worker for session, _ in growths],
        "domain": [session.domain for session, _ in growths],
        "ip_from": [session.ip_from for session, _ in growths],
        "count": [growth.requests for _, growth in growths],
        "bytes_sent": [growth.bytes_sent for _, growth in growths],
        "bytes_received": [growth.bytes_received for _, growth in growths],
        "max_concurrency": [running[session.worker, session.order_id] for session, _ in growths],
    }
    return ingest_columns.to_table(columns, directory, now)


def _running(workers: set[str], now: datetime) -> Mapping[tuple[str, int], int]:
    """The number of running sessions of each order at each of these proxy servers."""
    running = ProxySession.objects.filter(worker__in=workers, ended_at=None, seen_at__gt=now - SESSION_SILENCE)
    counts = running.order_by().values_list("worker", "order_id").annotate(Count("pk"))
    return Counter({(worker, order_id): count for worker, order_id, count in counts})


def end_all(worker: str, now: datetime) -> None:
    """Ends the sessions of a proxy server that starts or stops."""
    ProxySession.objects.filter(worker=worker, ended_at=None).update(ended_at=now)


def forget(now: datetime) -> int:
    """Deletes sessions without a report for a long time; returns their number.

    Sums of several connections are kept: they have no start by which later samples could be refused.
    """
    return ProxySession.objects.filter(seen_at__lt=now - KEPT, is_sum=False).delete()[0]
