"""The body of ``POST /gateway/sessions``: cumulative counters of connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from analytics.ingest.checks import AHEAD, are_addresses
from analytics.ingest.duplicates import is_repeated
from analytics.ingest.row_errors import MAX_NAMED_ROWS, in_words, named, row_or_fault
from analytics.ingest.schema import FAULTS, Amount, Count, Text
from fonproxy.api.errors import FieldError, InvalidInput, TooLarge
from fonproxy.timerange import InvalidTime, parse_instant
from fonproxy.units import MIB

MAX_SAMPLES: Final = 20_000
MAX_BYTES: Final = 8 * MIB
MAX_SESSION_LENGTH: Final = 128

KEPT: Final = timedelta(days=7)
"""A session without a report for this long is deleted; then samples of sessions that started earlier are refused."""


@dataclass(frozen=True, slots=True)
class SessionSample:
    """The counters of one connection since it started.

    ``bytes_sent`` is what the customer sent. ``started_at`` distinguishes connections with the same name; times closer
    than ``tolerance`` are the same start. It is None for a proxy server that sums all connections of a login without a
    start.
    """

    session: str
    worker: str
    login: str
    started_at: datetime | None
    bytes_sent: int
    bytes_received: int
    requests: int = 1
    ended: bool = False
    domain: str = ""
    ip_from: str = ""
    tolerance: timedelta = timedelta(0)


class _Row(Struct, gc=False, kw_only=True, rename="camel"):
    session: Annotated[str, Meta(min_length=1, max_length=MAX_SESSION_LENGTH)]
    login: Annotated[str, Meta(min_length=1, max_length=255)]
    worker: Text
    started_at: str
    bytes_sent: Amount
    bytes_received: Amount
    requests: Count = 1
    ended: bool = False
    domain: Text = ""
    ip_from: Text = ""


class _Body(Struct):
    samples: list[msgspec.Raw]


_decode_body: Final = msgspec.json.Decoder(_Body).decode
_decode_row: Final = msgspec.json.Decoder(_Row).decode


def decode(body: bytes, now: datetime) -> list[SessionSample]:
    """The samples of a body. Raises InvalidInput, which names the bad ones, and TooLarge."""
    try:
        raws = _decode_body(body).samples
    except msgspec.ValidationError as fault:
        raise InvalidInput(
            "The body is not as documented.", code="gateway.invalid_body", errors=[named(fault)]
        ) from None
    except FAULTS as fault:
        raise InvalidInput(f"The body is not JSON: {in_words(fault, body)}.", code="gateway.invalid_body") from None
    if len(raws) > MAX_SAMPLES:
        raise TooLarge(f"A body may hold at most {MAX_SAMPLES:,} samples; this one has {len(raws):,}.")
    if is_repeated("samples", body, len(raws)):
        refuse([FieldError("samples", "Is given more than once.")])
    samples: list[SessionSample] = []
    errors: list[FieldError] = []
    for found in _checked(raws, now):
        if isinstance(found, SessionSample):
            samples.append(found)
        else:
            errors.append(found)
        if len(errors) == MAX_NAMED_ROWS:
            break
    refuse(errors)
    return samples


def refuse(errors: list[FieldError]) -> None:
    """Raises InvalidInput when there are any."""
    if errors:
        raise InvalidInput("Some samples are bad; nothing was stored.", code="gateway.invalid_samples", errors=errors)


def _checked(raws: list[msgspec.Raw], now: datetime) -> Iterator[SessionSample | FieldError]:
    for index, raw in enumerate(raws):
        row = row_or_fault(_decode_row, index, raw)
        yield row if isinstance(row, FieldError) else _sample(row, index, now)


def _sample(row: _Row, index: int, now: datetime) -> SessionSample | FieldError:
    values: dict[str, Any] = msgspec.structs.asdict(row)
    try:
        started_at = parse_instant(row.started_at).at
    except InvalidTime as fault:
        return FieldError("startedAt", str(fault), index)
    if started_at > now + AHEAD:
        return FieldError("startedAt", "Is more than a day ahead.", index)
    if not are_addresses([row.ip_from]):
        return FieldError("ipFrom", "Must be an IPv4 or IPv6 address, or empty.", index)
    for name in ("session", "login", "worker", "domain"):
        if "\0" in values[name]:  # PostgreSQL cannot store it
            return FieldError(name, "Must not contain the character NUL.", index)
    return SessionSample(**{**values, "started_at": started_at})
