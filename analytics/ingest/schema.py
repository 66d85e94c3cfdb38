"""The fields that all ingested rows share, and decoding of a body into rows in one validating pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from analytics.ingest.attribution import MISSING, RowOwner
from fonproxy.timerange import InvalidTime, parse_instant

UNKNOWN_TIME: Final = "Invalid RFC3339 encoded datetime"  # msgspec's own words
# Errors of decoding. ValidationError, a DecodeError, is about values; the others are about the text.
FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Count = Annotated[int, Meta(ge=0, le=2**32)]
MAX_AMOUNT: Final = 2**44
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
Text = Annotated[str, Meta(max_length=255)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class IngestRow(Struct, gc=False, kw_only=True):
    """Time, owner, addresses and amounts of a row. Subclasses add fields and may use other names in JSON."""

    ts: datetime
    user_id: Count = MISSING
    order_id: Count = MISSING
    proxy_user: Text = ""
    port: Port = 0
    protocol: Text = ""
    ip_out: Text = ""
    ip_from: Text = ""
    domain: Text = ""
    error: Text = ""
    country: Text = ""
    bytes_sent: Amount = 0
    bytes_received: Amount = 0
    duration_ms: Amount = 0
    max_concurrency: Count = 0

    @property
    def who(self) -> RowOwner:
        return RowOwner(self.user_id, self.order_id, self.proxy_user)


RowT = TypeVar("RowT", bound=IngestRow)


class RowSchema(Generic[RowT]):
    """Decodes ``{"logs": [row, …]}`` for one kind of row.

    ``loose`` is the same row with the time as text, for ISO 8601 forms that msgspec does not parse.
    """

    def __init__(self, row: type[RowT], loose: type[Struct]) -> None:
        self.row = row
        self.names = dict(zip(row.__struct_fields__, row.__struct_encode_fields__, strict=True))
        self._decode_body = _decoder(_body_of(row))
        self._decode_loose_body = _decoder(_body_of(loose))
        self._decode_row = _decoder(row)
        self._decode_loose_row = _decoder(loose)

    def decode_rows(self, body: bytes) -> Sequence[RowT]:
        """The rows of a body; raises the first of FAULTS."""
        rows: Sequence[RowT]
        try:
            rows = self._decode_body(body).logs
            return rows
        except msgspec.ValidationError as fault:
            if UNKNOWN_TIME not in str(fault):
                raise
        return [self._with_time(row) for row in self._decode_loose_body(body).logs]

    def decode_row(self, raw: msgspec.Raw) -> RowT:
        """One row; raises its first of FAULTS."""
        row: RowT
        try:
            row = self._decode_row(raw)
            return row
        except msgspec.ValidationError as fault:
            if UNKNOWN_TIME not in str(fault):
                raise
        return self._with_time(self._decode_loose_row(raw))

    def _with_time(self, row: Any) -> RowT:
        """The loose row with its time parsed."""
        try:
            row.ts = parse_instant(row.ts).at
        except InvalidTime:
            raise msgspec.ValidationError(f"{UNKNOWN_TIME} - at `$.{self.names['ts']}`") from None
        proper: RowT = row
        return proper


def _body_of(row: type[Struct]) -> type[Struct]:
    return msgspec.defstruct("Body", [("logs", list[row])])  # type: ignore[valid-type]  # a type made at run time


def _decoder(kind: type[Struct]) -> Any:
    return msgspec.json.Decoder(kind).decode


class _Sketch(Struct):
    logs: list[msgspec.Raw]


_decode_sketch = msgspec.json.Decoder(_Sketch).decode


def sketch(body: bytes) -> list[msgspec.Raw]:
    """The undecoded rows of a whole body; raises one of the FAULTS for another structure."""
    return _decode_sketch(body).logs
