"""Byteful's daily summaries."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from analytics.byteful.summary import reads
from analytics.byteful.summary.queries import FIELDS
from fonproxy.api.docs import shape
from fonproxy.api.search import NUMBER, FieldType
from orders.byteful.searches import SearchViewSet, describe_search

KINDS: Final = {name: kind for name, (kind, _) in FIELDS.items()}


def _field(name: str, kind: FieldType) -> serializers.Field[Any, Any, Any, Any]:
    if kind is NUMBER or name == "customer_id":
        return serializers.IntegerField()
    return serializers.CharField(allow_null=name in ("proxy_user_id", "log_summary_network"))


SUMMARY: Final = shape("LogSummary", **{name: _field(name, kind) for name, kind in KINDS.items()})


@describe_search(
    "log_summary",
    "LogSummary",
    SUMMARY,
    many={"description": "The daily summaries that match all filters. Host names are kept for 90 days."},
    one={"description": "One daily summary."},
)
class LogSummaryViewSet(SearchViewSet):
    csv_columns = tuple(FIELDS)
    csv_name = "log_summary"
    title = "Log Summary"
    fields = KINDS
    search = staticmethod(reads.search)
    find = staticmethod(reads.find)
