"""Events of gost's observer plugin as samples. gost sums all connections of a client of a service."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from analytics.gateway.samples import MAX_SAMPLES, MAX_SESSION_LENGTH, SessionSample
from analytics.ingest.row_errors import in_words, named
from analytics.ingest.schema import FAULTS, Amount, Count, Text
from fonproxy.api.errors import InvalidInput, TooLarge


class _Stats(Struct, rename="camel"):
    total_conns: Count = 0
    current_conns: Count = 0
    input_bytes: Amount = 0
    output_bytes: Amount = 0


class _Event(Struct):
    type: str = ""
    service: Annotated[str, Meta(max_length=MAX_SESSION_LENGTH)] = ""
    client: Text = ""
    stats: _Stats | None = None


class _GostBody(Struct):
    events: list[_Event]


_decode: Final[Any] = msgspec.json.Decoder(_GostBody).decode


def samples_of(body: bytes, worker: str) -> list[SessionSample]:
    """The samples of a body; events without a client, which cover a whole service, are left out."""
    try:
        events: list[_Event] = _decode(body).events
    except msgspec.ValidationError as fault:
        raise InvalidInput("The body is not in gost's format.", errors=[named(fault)]) from None
    except FAULTS as fault:
        raise InvalidInput(f"The body is not JSON: {in_words(fault, body)}.") from None
    if len(events) > MAX_SAMPLES:
        raise TooLarge(f"A body may hold at most {MAX_SAMPLES:,} events; this one has {len(events):,}.")
    return [
        SessionSample(
            session=event.service.replace("\0", ""),
            worker=worker,
            login=event.client,
            started_at=None,
            bytes_sent=event.stats.input_bytes,
            bytes_received=event.stats.output_bytes,
            requests=event.stats.total_conns,
            ended=event.stats.current_conns == 0,
        )
        for event in events
        if event.stats and event.type == "stats" and event.client and "\0" not in event.client
    ]
