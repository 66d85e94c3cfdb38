"""One row of the body of ``POST /log/ingest``: a single request, by the tracking API's names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from analytics.pushed.row import Amount, Count, Kind, Port, Pushed, Text


class LogRow(Pushed, gc=False, kw_only=True):
    """A request as a proxy worker reports it. An id in the body, and whatever else is ours to say, is ignored."""

    ts: datetime = field(name="log_request_datetime")
    proxy_user: Text = field(name="proxy_user_id", default="")
    port: Port = field(name="log_local_port", default=0)
    protocol: Literal["http", "socks", ""] = field(name="log_protocol", default="")
    ip_out: Text = field(name="log_egress_ip_address", default="")
    ip_from: Text = field(name="log_client_ip_address", default="")
    ip_local: Text = field(name="log_local_ip_address", default="")
    domain: Text = field(name="log_hostname", default="")
    error: Text = field(name="log_error", default="")
    country: Text = field(name="country_id", default="")
    bytes_sent: Amount = field(name="log_bytes_sent", default=0)
    bytes_received: Amount = field(name="log_bytes_received", default=0)
    duration_ms: Amount = field(name="log_total_elapsed_ms", default=0)
    max_concurrency: Count = field(name="log_concurrency", default=0)
    method: Text = field(name="log_method", default="")
    status_code: Annotated[int, Meta(ge=0, le=999)] = field(name="log_status_code", default=0)
    session_id: Text = field(name="log_session_id", default="")
    # Some clients know it as a number, some by name.
    authentication_type: Text | Count = field(name="log_authentication_type", default="")
    city: Text = field(name="city_alias", default="")
    asn: Count = field(name="asn_id", default=0)


class _LooseLogRow(LogRow, gc=False, kw_only=True):
    ts: str = field(name="log_request_datetime")  # type: ignore[assignment]  # a time only once it is parsed


LOG: Final = Kind(LogRow, _LooseLogRow)
