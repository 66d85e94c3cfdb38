"""How a request body becomes rows that are counted exactly once; shared by every intake route."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import BoundedSemaphore
from typing import Final

import pyarrow as pa
from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from accounts.authentication import caller
from analytics import journal
from analytics.models import Batch
from analytics.writer import writer
from fonproxy import measures
from fonproxy.api.body import read_body
from fonproxy.api.errors import FieldError, InvalidInput, TooBusy, Unavailable

KEY: Final = re.compile(r"[\x20-\x7e]{1,128}")
SLOT_WAIT_SECONDS: Final = 2.0
FIRST_WAIT_SECONDS: Final = 10.0
# For the OpenAPI description of every route that takes rows.
HEADERS: Final = (
    OpenApiParameter("Idempotency-Key", str, "header", description="Repeats within 24 hours store nothing again."),
    OpenApiParameter("Content-Encoding", str, "header", enum=["gzip"]),
)

# The threads that intake may hold at all, working or waiting, so that it cannot starve reads; and those that work.
_entrance: Final = BoundedSemaphore(settings.INGEST_CONCURRENCY + settings.INGEST_WAITING)
_slots: Final = BoundedSemaphore(settings.INGEST_CONCURRENCY)


Parse = Callable[[bytes, datetime], pa.Table]
"""Turns a body into inbox columns, given the current time; what it raises refuses the body as a whole."""


def take(request: Request, route: Batch.Route, parse: Parse, *, scope: str = "") -> None:
    """Returns when the rows are durable and will be counted exactly once, readable while the engine is up.

    An Idempotency-Key holds within the account and the route, and within ``scope`` if there is one.

    Raises what ``parse`` raises, Conflict for a key used with another body, TooBusy when every intake slot stays taken,
    and Unavailable when the journal is full or a repeat overtook a first request that is not done yet.
    """
    now = timezone.now()
    key = _idempotency_key(request)
    if key is not None and scope:
        key = f"{scope} {key}"
    with _place(_entrance, wait=0):
        with _place(_slots, wait=SLOT_WAIT_SECONDS):
            body = read_body(request._request, settings.INGEST_MAX_BYTES)
            earlier = accept(body, parse, account_id=caller(request).pk, route=route, key=key, now=now)
        if earlier and not writer.wait_until_settled(earlier, FIRST_WAIT_SECONDS):
            raise Unavailable("The first request with this Idempotency-Key is not done yet.", wait=1)


def accept(
    body: bytes, parse: Parse, *, account_id: int | None, route: Batch.Route, key: str | None, now: datetime
) -> Batch | None:
    """Takes a body that has been read; returns the batch that came in under its key before, if one did."""
    origin = journal.Origin(account_id, route, key, hashlib.sha256(body).digest() if key else None)
    earlier = journal.find(origin, now) or _take_new(origin, parse(body, now), now)
    if earlier is None:
        measures.TAKEN_BYTES.labels(route.value).inc(len(body))
    return earlier


def _take_new(origin: journal.Origin, table: pa.Table, now: datetime) -> Batch | None:
    """Takes the batch; returns the earlier one if the same key came in at the same time."""
    is_away = writer.engine_is_away
    batch, is_new = journal.record(origin, table, now=now, claimed=not is_away)
    if not is_new:
        return batch
    measures.TAKEN_ROWS.labels(origin.route.value).inc(table.num_rows)
    if table.num_rows and not is_away:
        writer.write(batch, table)
    return None


def _idempotency_key(request: Request) -> str | None:
    key: str | None = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        message = "Must be 1 to 128 printable ASCII characters."
        raise InvalidInput("The Idempotency-Key is malformed.", errors=[FieldError("Idempotency-Key", message)])
    return key


@contextmanager
def _place(places: BoundedSemaphore, *, wait: float) -> Iterator[None]:
    """One of the places, held for as long as the block runs; TooBusy when none comes free in time."""
    if not places.acquire(timeout=wait):
        raise TooBusy("Too many batches are being taken in at once.", wait=1)
    try:
        yield
    finally:
        places.release()
