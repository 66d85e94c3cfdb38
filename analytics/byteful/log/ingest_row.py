"""One row of the body of ``POST /log/ingest``: a single request, with Byteful's field names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from analytics.ingest.attribution import MISSING
from analytics.ingest.schema import MAX_AMOUNT, Amount, Count, IngestRow, Port, RowSchema, Text


class LogRow(IngestRow, gc=False, kw_only=True):
    """A request as a gateway reports it.

    Fields that the server sets, such as the id, are ignored. Three measures distinguish 0 from "not reported", which is
    null. The total is read only where a direction's bytes are MISSING.
    """

    ts: datetime = field(name="log_request_datetime")
    proxy_user: Text = field(name="proxy_user_id", default="")
    port: Port = field(name="log_local_port", default=0)
    protocol: Literal["http", "socks", "", None] = field(name="log_protocol", default="")  # type: ignore[assignment]
    ip_out: Text = field(name="log_egress_ip_address", default="")
    ip_from: Text = field(name="log_client_ip_address", default="")
    ip_local: Text = field(name="log_local_ip_address", default="")
    domain: Text = field(name="log_hostname", default="")
    error: Text = field(name="log_error", default="")
    country: Text = field(name="country_id", default="")
    bytes_sent: Amount = field(name="log_bytes_sent", default=MISSING)
    bytes_received: Amount = field(name="log_bytes_received", default=MISSING)
    total_bytes: Annotated[int, Meta(ge=0, le=2 * MAX_AMOUNT)] | None = field(name="log_total_bytes", default=None)
    duration_ms: Amount | None = field(name="log_total_elapsed_ms", default=None)  # type: ignore[assignment]
    max_concurrency: Count | None = field(name="log_concurrency", default=None)  # type: ignore[assignment]
    method: Text = field(name="log_method", default="")
    status_code: Annotated[int, Meta(ge=0, le=999)] = field(name="log_status_code", default=0)
    session_id: Text = field(name="log_session_id", default="")
    authentication_type: Count | None = field(name="log_authentication_type", default=None)
    city: Text = field(name="city_alias", default="")
    asn: Count = field(name="asn_id", default=0)


# As in a search, a value that was not reported is null. Bytes are always reported.
_NULLABLE: Final = frozenset(LogRow.__struct_fields__) - {"ts", "bytes_sent", "bytes_received"}
LOG: Final = RowSchema(LogRow, _NULLABLE)
