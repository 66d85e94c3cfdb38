"""Query parameters of the graph and the breakdown, and their period."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from rest_framework import serializers

from analytics.byteful.graph.queries import ORDERS
from analytics.byteful.graph.sources import GraphInterval
from fonproxy.api.errors import FieldError, InvalidInput, OutOfRange
from fonproxy.api.params import DomainField, IdField, InstantField, Params, WholeNumberField, ZoneField
from fonproxy.timerange import DAY, UTC_ZONE, Instant, days
from orders.models import Network

MAX_LISTED: Final = 100
FILTERS: Final = ("hostname", "network", "proxy_user_id", "service_id")

Choice = TypeVar("Choice", bound=StrEnum)


class Preset(StrEnum):
    TODAY = "today"
    YESTERDAY = "yesterday"
    LAST_7_DAYS = "last_7_days"
    LAST_30_DAYS = "last_30_days"
    THIS_MONTH = "this_month"
    LAST_MONTH = "last_month"


class GraphPeriodParams(Params):
    preset = serializers.CharField(
        required=False,
        help_text=f"One of {', '.join(Preset)}. Default this_month; last_… ends with today.",
    )
    period_start = InstantField(required=False, help_text="In place of a preset: an ISO 8601 date or date-time.")
    period_end = InstantField(
        required=False, help_text="End, exclusive; a date means the whole of that day. Default: the end of today."
    )
    hostname = DomainField(required=False, help_text="Only this host name, in any case.")
    network = serializers.CharField(required=False, help_text=f"Only one of {', '.join(Network.values)}.")
    proxy_user_id = IdField(required=False, help_text="Only this proxy login.")
    service_id = IdField(required=False, help_text="Only this order.")
    tz = ZoneField(required=False, default=UTC_ZONE, help_text="IANA zone of points and labels. Default UTC.")

    def validate_preset(self, value: str) -> Preset:
        return _one_of("preset", Preset, value)

    def validate_network(self, value: str) -> str:
        return _one_of("network", Network, value).value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start, end = attrs.get("period_start"), attrs.get("period_end")
        if "preset" in attrs and (start or end):
            raise serializers.ValidationError({"preset": ["Cannot be given together with a period."]})
        if end and not start:
            raise serializers.ValidationError({"period_start": ["Is required with period_end."]})
        if start and end and end.end < start.at:
            raise serializers.ValidationError({"period_end": ["The end is before the start."]})
        return attrs


class GraphParams(GraphPeriodParams):
    interval = serializers.CharField(
        required=False,
        help_text=f"One of {', '.join(GraphInterval)}. Default: hour up to 2 days, day up to 92, else month.",
    )
    show_log_concurrency = serializers.BooleanField(
        required=False, default=False, help_text="Add the largest reported concurrency of each point."
    )

    def validate_interval(self, value: str) -> GraphInterval:
        return _one_of("interval", GraphInterval, value)


class BreakdownParams(GraphPeriodParams):
    return_hostnames = serializers.BooleanField(required=False, help_text="List host names.")
    return_networks = serializers.BooleanField(required=False, help_text="List networks.")
    return_proxy_users = serializers.BooleanField(
        required=False, help_text="List proxy logins. Without any of the three, all available lists."
    )
    sort_by = serializers.CharField(
        required=False,
        default="requests_desc",
        help_text=f"One of {', '.join(ORDERS)}, largest first unless `_asc` follows. Default requests_desc.",
    )
    limit = WholeNumberField(required=False, default=MAX_LISTED, help_text=f"1 to {MAX_LISTED}, of each list.")

    def validate_sort_by(self, value: str) -> str:
        """The sort as SQL, descending by default, because the lists are rankings."""
        field = value.removesuffix("_asc").removesuffix("_desc")
        if field not in ORDERS or value not in (field, f"{field}_asc", f"{field}_desc"):
            raise _beyond("sort_by", f"Must be one of {', '.join(ORDERS)}, optionally followed by _asc or _desc.")
        return f"{ORDERS[field]} {'ASC' if value.endswith('_asc') else 'DESC'}"

    def validate_limit(self, value: int) -> int:
        if not 1 <= value <= MAX_LISTED:
            raise _beyond("limit", f"Must be 1 to {MAX_LISTED}.")
        return value


def _one_of(name: str, choices: type[Choice], value: str) -> Choice:
    try:
        return choices(value)
    except ValueError:
        raise _beyond(name, f"Must be one of {', '.join(choices)}.") from None


def _beyond(name: str, message: str) -> OutOfRange:
    return OutOfRange("Unsupported filter, sort or value.", errors=[FieldError(name, message)])


def period_of(given: dict[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Start and exclusive end of the requested period. A current period ends with today."""
    zone: ZoneInfo = given["tz"]
    today = now.astimezone(zone).date()
    first = last = today
    start: Instant | None = given.get("period_start")
    if start is not None:
        end: Instant | None = given.get("period_end")
        until = end.end if end else days(today, today, zone).end
        if until < start.at:
            raise InvalidInput("The period begins in the future.", errors=[FieldError("period_end", "Is required.")])
        return start.at, until
    match given.get("preset", Preset.THIS_MONTH):
        case Preset.YESTERDAY:
            first = last = today - DAY
        case Preset.LAST_7_DAYS:
            first = today - 6 * DAY
        case Preset.LAST_30_DAYS:
            first = today - 29 * DAY
        case Preset.THIS_MONTH:
            first = today.replace(day=1)
        case Preset.LAST_MONTH:
            last = today.replace(day=1) - DAY
            first = last.replace(day=1)
    whole = days(first, last, zone)
    return whole.start, whole.end
