"""Query parameters of WeProxies' usage API."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.utils import timezone
from rest_framework import serializers

from fonproxy.api.params import IdField, InstantField, Params, WholeNumberField, ZoneField
from fonproxy.timerange import DAY, FIRST_YEAR, MAX_RANGE, UTC_ZONE, Instant, InvalidTime, Range, clock_length, midnight
from orders.models import Network, OrderStatus, ProxyType
from usage.periods import Granularity, UsagePeriod

LAST_PAGE: Final = 10**12
INSTANT: Final = timedelta(microseconds=1)
FIRST_DAY: Final = date(FIRST_YEAR, 1, 1)


class ZonedParams(Params):
    tz = ZoneField(required=False, default=UTC_ZONE, help_text="IANA zone of days and labels. Default UTC.")


class UsagePeriodParams(ZonedParams):
    period = serializers.ChoiceField(
        [period.value for period in UsagePeriod],
        required=False,
        default=UsagePeriod.MONTH.value,
        help_text="Weeks begin Monday.",
    )


class DatesParams(ZonedParams):
    """A range of dates or instants; a missing end is derived from the other one, or from today."""

    start_date = InstantField(required=False, help_text="An ISO 8601 date or date-time.")
    end_date = InstantField(required=False, help_text="Exclusive; a date means the whole of that day. Default today.")

    def default_start(self, last_day: date) -> date:
        """The first day of a range without a start."""
        raise NotImplementedError

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named = "end_date" if "end_date" in attrs else "start_date"
        zone: ZoneInfo = attrs["tz"]
        end = attrs.pop("end_date", None) or _day(timezone.now().astimezone(zone).date(), zone)
        start = attrs.pop("start_date", None)
        if start is None:
            last_day = (end.end - INSTANT).astimezone(zone).date()
            start = _day(max(self.default_start(last_day), FIRST_DAY), zone)
        try:
            attrs["range"] = Range.between(start, end)
        except InvalidTime as fault:
            raise serializers.ValidationError({named: [str(fault)]}) from None
        attrs["length"] = min(end.end - start.at, clock_length(start.at, end.end, zone))
        return attrs


def _day(day: date, zone: ZoneInfo) -> Instant:
    return Instant(midnight(day, zone), is_date=True, zone=zone)


class HistoryParams(DatesParams):
    granularity = serializers.ChoiceField(
        [granularity.value for granularity in Granularity], required=False, default=Granularity.DAILY.value
    )
    subscription_id = IdField(required=False, help_text="Only this subscription.")

    def default_start(self, last_day: date) -> date:
        return last_day - 29 * DAY

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        attrs["granularity"] = Granularity(attrs["granularity"])
        if attrs["granularity"] is Granularity.HOURLY and attrs["length"] > MAX_RANGE:
            raise serializers.ValidationError({"granularity": ["Hourly data can span at most two months."]})
        return attrs


class CountryParams(DatesParams):
    limit = WholeNumberField(required=False, default=10, min_value=1)

    def default_start(self, last_day: date) -> date:
        return last_day.replace(day=1)


class SubscriptionParams(Params):
    status = serializers.ChoiceField([status.value for status in OrderStatus], required=False)
    product_type = serializers.ChoiceField(
        [*Network.values, *ProxyType.values], required=False, help_text="A network, or one of our proxy types."
    )
    metered = serializers.BooleanField(
        required=False, default=True, help_text="`false`: subscriptions without a positive traffic limit."
    )
    page = WholeNumberField(required=False, default=1, min_value=1, max_value=LAST_PAGE)
    per_page = WholeNumberField(required=False, default=20, min_value=1, max_value=100)
