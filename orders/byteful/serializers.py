"""Responses of the ledger routes."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from fonproxy import ids
from fonproxy.api.docs import shape
from fonproxy.api.search import answer_schema
from orders.models import LedgerEntry, LedgerReason, Network


def described(entry: LedgerEntry, network: Network) -> dict[str, Any]:
    """An entry as the API returns it, with times not yet formatted."""
    return {
        "customer_id": entry.order.user_id,
        f"{network}_ledger_id": ids.encode(f"{network}_ledger", entry.pk),
        f"{network}_ledger_bytes": entry.bytes,
        f"{network}_ledger_requests": entry.requests,
        f"{network}_ledger_period_date": entry.period_date.isoformat(),
        f"{network}_ledger_reason": entry.reason,
        "service_id": entry.order.published_id,
        "service_adjustment_id": entry.adjustment_number,
        f"{network}_ledger_creation_datetime": entry.created_at,
        f"{network}_ledger_last_update_datetime": entry.updated_at,
    }


def entry_schema(network: Network) -> type[serializers.Serializer[Any]]:
    """The same as a serializer, for the OpenAPI description."""
    p = f"{network}_ledger"
    fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {
        "customer_id": serializers.IntegerField(),
        f"{p}_id": serializers.CharField(),
        f"{p}_bytes": serializers.IntegerField(help_text="Negative for usage, positive for credits."),
        f"{p}_requests": serializers.IntegerField(),
        f"{p}_period_date": serializers.DateField(help_text="The day in UTC."),
        f"{p}_reason": serializers.ChoiceField(choices=LedgerReason.choices),
        "service_id": serializers.CharField(help_text="The order's id."),
        "service_adjustment_id": serializers.IntegerField(
            allow_null=True, help_text="Numbers the service's top-ups, refunds and adjustments."
        ),
        f"{p}_creation_datetime": serializers.CharField(help_text="YYYY-MM-DD HH:MM:SS"),
        f"{p}_last_update_datetime": serializers.CharField(help_text="YYYY-MM-DD HH:MM:SS"),
    }
    return shape(f"{network.label}LedgerEntry", **fields)


CUSTOMER: Final = answer_schema(
    "CustomerAnswer",
    shape(
        "Customer",
        customer_id=serializers.IntegerField(),
        residential_bytes_left=serializers.IntegerField(allow_null=True, help_text="Null when nothing is metered."),
        mobile_bytes_left=serializers.IntegerField(allow_null=True, help_text="Null when nothing is metered."),
        active_residential_service_id=serializers.CharField(allow_null=True, help_text="The latest active order."),
        active_mobile_service_id=serializers.CharField(allow_null=True, help_text="The latest active order."),
    ),
)


def summary_schema(network: Network) -> type[serializers.Serializer[Any]]:
    def integer(meaning: str) -> serializers.IntegerField:
        return serializers.IntegerField(allow_null=True, help_text=f"{meaning}; null when nothing is metered.")

    fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {
        f"{network}_bytes": integer("Bought and added for the current periods"),
        f"{network}_bytes_used": integer("Bytes used of these"),
        f"{network}_bytes_left": integer("Bytes left, by the ledger"),
        f"{network}_requests": serializers.IntegerField(help_text="On the days of the current periods."),
        "proxy_user_ids": serializers.ListField(child=serializers.CharField(), help_text="Proxy logins."),
    }
    return shape(f"{network.label}Summary", **fields)
