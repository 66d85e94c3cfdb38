"""One row of the ingest body, and how it is decoded and validated in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from analytics.attribution import MISSING, Who
from fonproxy.timerange import InvalidTime, parse_instant

UNKNOWN_TIME: Final = "Invalid RFC3339 encoded datetime"  # as the decoder says it
# What decoding raises. ValidationError, a DecodeError, is about values; the others are about the text.
FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Count = Annotated[int, Meta(ge=0, le=2**32)]
Amount = Annotated[int, Meta(ge=0, le=2**44)]
Text = Annotated[str, Meta(max_length=255)]


class Row(Struct, gc=False):
    """One aggregated line of a proxy worker, as documented for the ingest body."""

    ts: datetime
    count: Count
    user_id: Count = MISSING
    order_id: Count = MISSING
    proxy_user: Text = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    protocol: Text = ""
    ip_out: Text = ""
    ip_from: Text = ""
    peer_id: Text = ""
    worker: Text = ""
    domain: Text = ""
    error: Text = ""
    country: Text = ""
    bytes_sent: Amount = 0
    bytes_received: Amount = 0
    error_count: Count = 0
    duration_ms: Amount = 0
    max_concurrency: Count = 0

    @property
    def who(self) -> Who:
        return Who(self.user_id, self.order_id, self.proxy_user)


class _LooseRow(Row, gc=False):
    """The same with the time as text, for forms of ISO 8601 that the decoder does not know."""

    ts: str  # type: ignore[assignment]  # a time only once it is parsed


class _Body(Struct):
    logs: list[Row]


class _LooseBody(Struct):
    logs: list[_LooseRow]


class _Sketch(Struct):
    logs: list[msgspec.Raw]


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_loose_body = msgspec.json.Decoder(_LooseBody).decode
_decode_sketch = msgspec.json.Decoder(_Sketch).decode
_decode_row = msgspec.json.Decoder(Row).decode
_decode_loose_row = msgspec.json.Decoder(_LooseRow).decode


def decode_rows(body: bytes) -> Sequence[Row]:
    """The rows of a whole body; raises the first of the FAULTS."""
    try:
        return _decode_body(body).logs
    except msgspec.ValidationError as fault:
        if UNKNOWN_TIME not in str(fault):
            raise
    return [_with_time(row) for row in _decode_loose_body(body).logs]


def decode_row(raw: msgspec.Raw) -> Row:
    """One row by itself; raises its first fault."""
    try:
        return _decode_row(raw)
    except msgspec.ValidationError as fault:
        if UNKNOWN_TIME not in str(fault):
            raise
    return _with_time(_decode_loose_row(raw))


def _with_time(row: _LooseRow) -> Row:
    try:
        row.ts = parse_instant(row.ts).at  # type: ignore[assignment]  # from here on a Row
    except InvalidTime:
        raise msgspec.ValidationError(f"{UNKNOWN_TIME} - at `$.ts`") from None
    return row


def sketch(body: bytes) -> list[msgspec.Raw]:
    """The rows of a whole body, none of them looked into; raises one of the FAULTS when it is not that kind of JSON."""
    return _decode_sketch(body).logs
