"""Bodies and responses of FonProxy Analytics, for the OpenAPI description and the CSV columns."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from analytics.traffic.reads import MEASURES
from fonproxy.api.docs import shape


def metric(meaning: str) -> serializers.CharField:
    return serializers.CharField(help_text=f"{meaning} A decimal string, because it may exceed 2^53.")


def stamp(meaning: str) -> serializers.CharField:
    return serializers.CharField(help_text=f"{meaning} YYYY-MM-DD HH:MM:SS.")


def _envelope(
    report: str, row: type[serializers.Serializer[Any]], **fields: serializers.Field[Any, Any, Any, Any]
) -> type[serializers.Serializer[Any]]:
    last = stamp("The account's newest bucket.")
    last.allow_null = True
    names = MEASURES[report]
    totals = shape(f"{row.__name__}Totals", **{name: metric("Over the whole range.") for name in names})
    key = str(next(iter(row().fields)))
    measures = {name: metric("For the previous period.") for name in names}
    compared = shape(f"Previous{row.__name__}", **{key: serializers.CharField()}, **measures)
    previous = shape(f"{row.__name__}Previous", data=compared(many=True), totals=totals())
    return shape(
        f"{row.__name__}s",
        data=row(many=True),
        **fields,
        totals=totals(help_text="The measures over the whole range."),
        previous=previous(required=False, help_text="With compare: a row for each of data, in its order."),
        last_data_at=last,
    )


ROWS: Final = {
    "traffic": shape(
        "TrafficPoint",
        bucket=stamp("Start of the point."),
        total_bytes_sent=metric("Bytes received from the customer."),
        total_bytes_received=metric("Bytes sent to the customer."),
        bytes_total=metric("Both together."),
        total_count=metric("Requests."),
    ),
    "requests": shape(
        "RequestsPoint",
        bucket=stamp("Start of the point."),
        total_count=metric("Requests."),
        total_errors=metric("Errors."),
    ),
    "concurrency": shape(
        "ConcurrencyPoint",
        bucket=stamp("Start of the point."),
        max_concurrency=metric("The largest concurrency that any row reported."),
        total_count=metric("Requests."),
    ),
    "domains": shape(
        "Domain",
        domain=serializers.CharField(),
        total_count=metric("Requests."),
        bytes_total=metric("Bytes both ways."),
        total_bytes_sent=metric("Bytes received from the customer."),
        total_bytes_received=metric("Bytes sent to the customer."),
        total_errors=metric("Errors."),
    ),
    "errors": shape(
        "TrafficError",
        error=serializers.CharField(),
        total_errors=metric("How often."),
        first_seen=stamp("Start of the first bucket with the error."),
        last_seen=stamp("Start of the last bucket with the error."),
        sample_domains=serializers.ListField(
            child=serializers.CharField(), help_text="Up to 5 domains with most of these errors."
        ),
    ),
    "countries": shape(
        "TrafficCountry",
        country=serializers.CharField(help_text="ISO 3166 alpha-2; XX for unknown ones."),
        total_count=metric("Requests."),
        bytes_total=metric("Bytes both ways."),
        total_errors=metric("Errors."),
    ),
    "websites": shape(
        "Website",
        domain=serializers.CharField(),
        total_count=metric("Requests."),
        bytes_total=metric("Bytes both ways."),
        first_visit=stamp("Start of the first bucket with the domain."),
        last_visit=stamp("Start of the last bucket with the domain."),
    ),
}
COLUMNS: Final = {report: list(row().fields) for report, row in ROWS.items()}
_PAGING: Final = dict.fromkeys(("page", "limit", "total", "totalPages"), serializers.IntegerField)
ENVELOPES: Final = {
    report: _envelope(
        report, row, **({name: field() for name, field in _PAGING.items()} if report == "websites" else {})
    )
    for report, row in ROWS.items()
}


class IngestRowSerializer(serializers.Serializer[Any]):
    """An aggregated row of a gateway. Its owner is ``user_id`` with ``order_id``, or ``proxy_user``."""

    ts = serializers.CharField(help_text="YYYY-MM-DD HH:MM:SS or ISO 8601; UTC without a zone.")
    count = serializers.IntegerField(min_value=0, max_value=2**32, help_text="Requests.")
    user_id = serializers.IntegerField(required=False, min_value=0, max_value=2**32)
    order_id = serializers.IntegerField(required=False, min_value=0, max_value=2**32)
    proxy_user = serializers.CharField(required=False, max_length=255, help_text="A known proxy login.")
    port = serializers.IntegerField(required=False, min_value=0, max_value=65535)
    protocol = serializers.CharField(required=False, max_length=255)
    ip_out = serializers.CharField(required=False, help_text="Exit address.")
    ip_from = serializers.CharField(required=False, help_text="Client address.")
    peer_id = serializers.CharField(required=False, max_length=255)
    worker = serializers.CharField(required=False, max_length=255)
    domain = serializers.CharField(required=False, max_length=255)
    error = serializers.CharField(required=False, max_length=255)
    country = serializers.CharField(required=False, help_text="ISO 3166 alpha-2.")
    bytes_sent = serializers.IntegerField(
        required=False, min_value=0, max_value=2**44, help_text="Received from the customer."
    )
    bytes_received = serializers.IntegerField(
        required=False, min_value=0, max_value=2**44, help_text="Sent to the customer."
    )
    error_count = serializers.IntegerField(required=False, min_value=0, max_value=2**32)
    duration_ms = serializers.IntegerField(required=False, min_value=0, max_value=2**44)
    max_concurrency = serializers.IntegerField(required=False, min_value=0, max_value=2**32)


class IngestSerializer(serializers.Serializer[Any]):
    logs = IngestRowSerializer(many=True, help_text="At most 100,000 rows.")
