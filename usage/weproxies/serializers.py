"""Response schemas of WeProxies' usage API, and an order as one of its subscriptions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from rest_framework import serializers

from fonproxy import ids
from fonproxy.api.docs import shape
from fonproxy.api.renderers import columns_of
from fonproxy.timerange import UTC_ZONE
from orders.models import Network, Order, OrderStatus, ProxyType
from usage.ids import subscription_id
from usage.periods import Granularity, stamp
from usage.subscriptions import Allowance
from usage.weproxies.reads import gigabytes

# A hundredth, to which gigabytes are rounded.
SMALLEST_GIGABYTES: Final = 0.01

Fields = dict[str, serializers.Field[Any, Any, Any, Any]]


def envelope(name: str, /, data: Any, **more: Any) -> type[serializers.Serializer[Any]]:
    return shape(name, data=data, **more, success=serializers.BooleanField(help_text="true"))


def described(order: Order, account: Allowance, now: datetime) -> dict[str, Any]:
    """An order as a subscription."""
    return {
        "id": subscription_id(order.pk),
        "product": {
            "id": ids.encode("product", order.product_id),
            "name": order.product.name,
            "type": order.product.network,
            "proxy_type": order.product.proxy_type,
        },
        "status": order.status(now).value,
        "traffic_limit_gb": _limit_gigabytes(account.limit),
        "traffic_used_gb": gigabytes(account.used),
        "traffic_remaining_gb": _gigabytes(account.left),
        "expires_at": stamp(order.expires_at, UTC_ZONE) if order.expires_at else None,
        "created_at": stamp(order.created_at, UTC_ZONE),
    }


def _gigabytes(size: int | None) -> float | None:
    return None if size is None else gigabytes(size)


def _limit_gigabytes(size: int | None) -> float | None:
    """The limit in GB, never 0.0, because published clients divide by it."""
    return None if size is None else max(gigabytes(size), SMALLEST_GIGABYTES)


def _text(meaning: str = "", **options: Any) -> serializers.CharField:
    return serializers.CharField(help_text=meaning, **options)


def _integer(meaning: str = "") -> serializers.IntegerField:
    return serializers.IntegerField(help_text=meaning)


def _number(meaning: str = "", **options: Any) -> serializers.FloatField:
    return serializers.FloatField(help_text=meaning, **options)


def _moment(meaning: str = "", **options: Any) -> serializers.DateTimeField:
    return serializers.DateTimeField(help_text=meaning, **options)


_PERIOD: Final = shape("UsagePeriod", start=_moment(), end=_moment("The last second."))
_SUBSCRIPTION: Final[Fields] = {
    "id": _text(),
    "product": shape(
        "UsageProduct",
        id=_text(),
        name=_text(),
        type=serializers.ChoiceField(Network.choices),
        proxy_type=serializers.ChoiceField(ProxyType.choices),
    )(),
    "status": serializers.ChoiceField(OrderStatus.choices),
    "traffic_limit_gb": _number("Null without a limit, else at least 0.01. 1 GB is 2^30 bytes.", allow_null=True),
    "traffic_used_gb": _number("Traffic in the current period."),
    "traffic_remaining_gb": _number("Never below 0.", allow_null=True),
    "expires_at": _moment(allow_null=True),
    "created_at": _moment(),
}
_SUBSCRIPTION_ROW: Final = shape("Subscription", **_SUBSCRIPTION)
SUBSCRIPTION_COLUMNS: Final = columns_of(_SUBSCRIPTION_ROW)
_POINT: Final[Fields] = {
    "timestamp": _moment(),
    "bytes": _integer(),
    "requests": _integer(),
    "success_rate": _number("Per cent."),
}
_COUNTRY: Final[Fields] = {
    "country_code": _text(),
    "country_name": _text(),
    "requests": _integer(),
    "bytes": _integer(),
    "percentage": _number("Of all requests."),
}
_BY_SUBSCRIPTION: Final[Fields] = {
    "subscription_id": _text(),
    "product_name": _text(),
    "bytes_used": _integer(),
    "gb_used": _number(),
    "requests": _integer(),
}
POINT_COLUMNS, COUNTRY_COLUMNS, BY_SUBSCRIPTION_COLUMNS = map(tuple, (_POINT, _COUNTRY, _BY_SUBSCRIPTION))

ME: Final = envelope("MeAnswer", shape("Me", id=_text(), username=_text(), email=_text())())
SUBSCRIPTIONS: Final = envelope(
    "SubscriptionsAnswer",
    _SUBSCRIPTION_ROW(many=True),
    pagination=shape(
        "UsagePagination", page=_integer(), per_page=_integer(), total=_integer(), total_pages=_integer()
    )(),
)
SUBSCRIPTION: Final = envelope(
    "SubscriptionAnswer",
    shape(
        "SubscriptionDetail",
        **{name: field.__deepcopy__({}) for name, field in _SUBSCRIPTION.items()},
        projected_exhaustion_at=_moment(
            "Forecast at the pace of the last 7 days; null: not before it expires.", allow_null=True
        ),
    )(),
)
SUMMARY: Final = envelope(
    "UsageSummaryAnswer",
    shape(
        "UsageSummary",
        period=_PERIOD(),
        total=shape(
            "UsageTotal",
            bytes_used=_integer(),
            gb_used=_number(),
            requests=_integer(),
            success_rate=_number("Per cent."),
        )(),
        by_subscription=shape("SubscriptionUsage", **_BY_SUBSCRIPTION)(many=True),
        by_country=shape("CountryUsage", country=_text(), requests=_integer(), bytes=_integer())(many=True),
    )(),
)
HISTORY: Final = envelope(
    "UsageHistoryAnswer",
    shape(
        "UsageHistory",
        period=_PERIOD(),
        granularity=serializers.ChoiceField([granularity.value for granularity in Granularity]),
        data_points=shape("UsagePoint", **_POINT)(many=True),
    )(),
)
REALTIME: Final = envelope(
    "RealtimeAnswer",
    shape(
        "Realtime",
        timestamp=_moment(),
        current_minute=shape("CurrentMinute", requests=_integer(), bytes=_integer(), active_sessions=_integer())(),
        last_hour=shape("LastHour", requests=_integer(), bytes=_integer(), avg_response_time_ms=_integer())(),
        active_connections=shape(
            "ActiveConnections", total=_integer(), by_country=serializers.DictField(child=serializers.IntegerField())
        )(),
    )(),
)
COUNTRIES: Final = envelope(
    "CountriesAnswer", shape("UsageCountries", countries=shape("UsageCountry", **_COUNTRY)(many=True))()
)


class WeproxiesErrorSerializer(serializers.Serializer[Any]):
    """An error of WeProxies' API."""

    success = serializers.BooleanField(help_text="false")
    error = shape(
        "UsageErrorDetail",
        code=_text("A stable key."),
        message=_text(),
        details=serializers.DictField(child=serializers.ListField(child=serializers.CharField())),
    )()
