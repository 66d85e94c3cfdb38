"""Turns a request body into rows that are counted exactly once, for every ingest route."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from threading import BoundedSemaphore
from typing import Final, NamedTuple

import pyarrow as pa
from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from accounts.authentication import caller
from analytics.ingest import journal
from analytics.ingest.flusher import flusher
from analytics.ingest.group_commit import committer
from analytics.ingest.lists import Rows
from analytics.models import IngestBatch
from fonproxy import instruments
from fonproxy.api.body import read_body
from fonproxy.api.errors import FieldError, InvalidInput, Unavailable
from fonproxy.sqlite import taking_turns

KEY: Final = re.compile(r"[\x20-\x7e]{1,128}")
FIRST_WAIT_SECONDS: Final = 10.0
ASYNC: Final = "respond-async"
# Few large or compressed bodies are read at once: their rows take many times the memory, and since one thread at a time
# can use the interpreter, more of them would all be ready late, and the engine would be idle until then.
SMALL_BYTES: Final = 2**18
USUAL_RATIO: Final = 16
LARGE_AT_ONCE: Final = 2
# The headers of every ingest route, for the OpenAPI description.
HEADERS: Final = (
    OpenApiParameter("Idempotency-Key", str, "header", description="Repeats within 24 hours store nothing again."),
    OpenApiParameter("Content-Encoding", str, "header", enum=["gzip"]),
    OpenApiParameter(
        "Prefer",
        str,
        "header",
        description=f"`{ASYNC}`: answer as soon as the rows are durable; they are readable within two seconds.",
    ),
)

Parse = Callable[[bytes, datetime], Rows]
"""Turns a body into rows of the inbox, given the current time. Its exceptions refuse the whole body."""

_large_bodies: Final = BoundedSemaphore(LARGE_AT_ONCE)


def ingest(request: Request, route: IngestBatch.Route, parse: Parse, *, scope: str = "") -> dict[str, str]:
    """Returns when the rows are durable and will be counted exactly once, and readable if ClickHouse is available.

    With ``Prefer: respond-async`` it returns as soon as they are durable; they become readable within two seconds. It
    still waits while too much is queued, or for too long; the response is the same then. Returns headers of the
    response. An Idempotency-Key is unique within the account, the route and ``scope``. Raises what ``parse`` raises,
    Conflict for a key used with another body, and Unavailable when the journal is full or the first request with this
    key is still in progress.
    """
    key = _idempotency_key(request)
    if key is not None and scope:
        key = f"{scope} {key}"
    waits = not prefers_async(request.headers.get("Prefer", ""))
    taken = _read(request, parse, caller(request).pk, route, key)
    _send(taken, waits=waits)
    if taken.earlier and waits and not flusher.wait_until_settled(taken.earlier, FIRST_WAIT_SECONDS):
        raise Unavailable("The first request with this Idempotency-Key is still in progress.", wait=1)
    return {} if waits else {"Preference-Applied": ASYNC}


def _read(request: Request, parse: Parse, account_id: int, route: IngestBatch.Route, key: str | None) -> _Taken:
    """Writes the request's body to the journal; the body is in memory only during this call."""
    now = timezone.now()
    with nullcontext() if _is_small(request) else _large_bodies, flusher.reading():
        body = read_body(request._request, settings.INGEST_MAX_BYTES)
        return _record(body, parse, account_id, route, key, now)


def _is_small(request: Request) -> bool:
    """Whether the body, unpacked, is probably small."""
    factor = USUAL_RATIO if "Content-Encoding" in request.headers else 1
    return int(request.META.get("CONTENT_LENGTH") or 0) * factor <= SMALL_BYTES


def prefers_async(prefer: str) -> bool:
    """Whether a ``Prefer`` header requests a response before the rows are readable (RFC 7240)."""
    return any(preference.partition(";")[0].strip().lower() == ASYNC for preference in prefer.split(","))


def accept(
    body: bytes, parse: Parse, *, account_id: int | None, route: IngestBatch.Route, key: str | None, now: datetime
) -> IngestBatch | None:
    """Writes a body to the journal and sends it.

    Returns the earlier batch with the same key, None if there was none.
    """
    taken = _record(body, parse, account_id, route, key, now)
    _send(taken, waits=True)
    return taken.earlier


class _Taken(NamedTuple):
    """The result of journaling: the earlier batch with the key, or the new one with its rows if it must be sent."""

    earlier: IngestBatch | None = None
    new: tuple[IngestBatch, Rows] | None = None


def _record(
    body: bytes, parse: Parse, account_id: int | None, route: IngestBatch.Route, key: str | None, now: datetime
) -> _Taken:
    origin = journal.BatchOrigin.of(body, account_id=account_id, route=route, key=key)
    if earlier := journal.find(origin, now):
        return _Taken(earlier)
    rows = parse(body, now)
    is_unavailable = flusher.engine_is_unavailable
    batch, is_new = committer.record(journal.Arrival.of(origin, rows, now=now, claimed=not is_unavailable))
    if not is_new:
        return _Taken(batch)
    count_ingested(route, body, rows)
    return _Taken(new=(batch, rows) if rows.num_rows and not is_unavailable else None)


def count_ingested(route: IngestBatch.Route, body: bytes, rows: Rows) -> None:
    instruments.INGESTED_BYTES.labels(route.value).inc(len(body))
    instruments.INGESTED_ROWS.labels(route.value).inc(rows.num_rows)


def _send(taken: _Taken, *, waits: bool) -> None:
    if taken.new:
        flusher.write(*taken.new, waits=waits)


def ingest_table(origin: journal.BatchOrigin, make: Callable[[], pa.Table], now: datetime) -> None:
    """Takes the rows returned by ``make``, in one transaction with its writes to the relational store.

    Raises what ``make`` raises, and Unavailable when the journal is full.
    """
    is_unavailable = flusher.engine_is_unavailable
    with taking_turns():
        table = make()
        batch = journal.record(origin, table, now=now, claimed=not is_unavailable)[0] if table.num_rows else None
    if batch is not None:
        instruments.INGESTED_ROWS.labels(origin.route.value).inc(table.num_rows)
        if not is_unavailable:
            flusher.write(batch, table)


def _idempotency_key(request: Request) -> str | None:
    key: str | None = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        message = "Must be 1 to 128 printable ASCII characters."
        raise InvalidInput("The Idempotency-Key is malformed.", errors=[FieldError("Idempotency-Key", message)])
    return key
