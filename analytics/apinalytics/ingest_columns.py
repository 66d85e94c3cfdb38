"""The body of ``POST /1/event/`` as columns of the engine's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa
from django.conf import settings
from msgspec import Meta, Struct

from accounts.models import Application
from analytics.apinalytics.masking import masked
from analytics.ids import new_ids
from analytics.ingest.row_errors import MAX_NAMED_ROWS, in_words, row_or_fault
from analytics.ingest.schema import FAULTS, MAX_AMOUNT, Amount, Text
from fonproxy.api.errors import FieldError, InvalidInput, TooLarge
from fonproxy.clickhouse import retention

MAX_EVENTS: Final = 10_000
# Far more than the fields of an event, so that events with unknown fields are accepted.
VALUES_PER_EVENT: Final = 50
AHEAD: Final = timedelta(days=1)
UNKNOWN_FUNCTION: Final = "unknown"
NUMBER: Final = pa.uint64()

Url = Annotated[str, Meta(max_length=8192)]


class ApiCall(Struct, gc=False):
    """One call of an API. Unknown fields are ignored."""

    timestamp: Annotated[int, Meta(ge=0, le=2**40)]
    method: Text
    url: Url
    response_us: Amount | Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]
    status_code: Annotated[int, Meta(ge=0, le=999)]
    consumer_id: Text | None = ""
    function: Text | None = UNKNOWN_FUNCTION


_decode_all: Final = msgspec.json.Decoder(list[ApiCall]).decode
_decode_one: Final = msgspec.json.Decoder(ApiCall).decode
_decode_raw: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def to_columns(body: bytes, application: Application, now: datetime) -> pa.Table:
    """The events as columns. Raises InvalidInput, which names bad events by position, and TooLarge."""
    events = _decoded(body)
    _refuse_too_many(len(events))
    bounds = _bounds(now)
    if any(not bounds[0] <= event.timestamp <= bounds[1] for event in events):
        raise _refusal(_raw(body), bounds)
    times = [event.timestamp for event in events]
    mask = cache(lambda url: masked(url, settings.SECRET_PARAMETERS))

    def texts(name: str) -> pa.Array[Any]:
        return pa.array([getattr(event, name) for event in events], pa.string())

    return pa.table(
        {
            "application_id": pa.array([application.pk] * len(events), NUMBER),
            "ts": pa.array(times, pa.int64()).cast(pa.timestamp("s", tz="UTC")),
            "event_id": pa.array(list(new_ids(at * 1000 for at in times)), pa.string()),
            "user_id": pa.array([application.user_id] * len(events), NUMBER),
            "consumer_id": pa.array([event.consumer_id or "" for event in events], pa.string()),
            "method": texts("method"),
            "url": pa.array([mask(event.url) for event in events], pa.string()),
            "function": pa.array([event.function or UNKNOWN_FUNCTION for event in events], pa.string()),
            "response_us": pa.array([round(event.response_us) for event in events], NUMBER),
            "status_code": pa.array([event.status_code for event in events], pa.uint32()),
        }
    )


def _decoded(body: bytes) -> list[ApiCall]:
    if body.count(b"{") > MAX_EVENTS + 1:  # possibly too many: count them before creating objects
        _raw(body)
    try:
        events: list[ApiCall] = _decode_all(body)
        return events
    except FAULTS:
        raise _refusal(_raw(body), None) from None


def _raw(body: bytes) -> list[msgspec.Raw]:
    """The events, not yet decoded. A body of a million numbers is refused before it is turned into objects."""
    if body.count(b",") > MAX_EVENTS * VALUES_PER_EVENT:
        raise TooLarge(
            f"At most {MAX_EVENTS:,} events may be sent at once; this body has far too many values for that."
        )
    try:
        raws: list[msgspec.Raw] = _decode_raw(body)
    except msgspec.ValidationError:
        raise InvalidInput("The body must be a JSON array of events.") from None
    except FAULTS as fault:
        raise InvalidInput(f"The body is not JSON: {in_words(fault, body)}.") from None
    _refuse_too_many(len(raws))
    return raws


def _refuse_too_many(events: int) -> None:
    if events > MAX_EVENTS:
        raise TooLarge(f"At most {MAX_EVENTS:,} events may be sent at once; these are {events:,}.")


def _bounds(now: datetime) -> tuple[int, int]:
    oldest = retention.floor("events", now)
    return -int(-oldest.timestamp() // 1), int((now + AHEAD).timestamp())


def _refusal(raws: Sequence[msgspec.Raw], bounds: tuple[int, int] | None) -> InvalidInput:
    found = (_fault_of(index, row_or_fault(_decode_one, index, raw), bounds) for index, raw in enumerate(raws))
    errors = list(islice(filter(None, found), MAX_NAMED_ROWS)) or [FieldError("body", "Cannot be read.")]
    return InvalidInput("Some events are bad; nothing was stored.", errors=errors)


def _fault_of(index: int, event: Any, bounds: tuple[int, int] | None) -> FieldError | None:
    if isinstance(event, FieldError):
        is_other_time = event.field == "timestamp" and event.message.startswith("Expected")
        return replace(event, message="Must be whole seconds since 1970.") if is_other_time else event
    if bounds is not None and event.timestamp < bounds[0]:
        return FieldError("timestamp", "Is older than the retention of events.", index)
    if bounds is not None and event.timestamp > bounds[1]:
        return FieldError("timestamp", "Is more than a day ahead.", index)
    return None
