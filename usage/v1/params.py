"""The parameters of the usage API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils import timezone
from rest_framework import serializers

from accounts.models import OrderStatus, ProxyType
from fonproxy.api.params import IdField, InstantField, Params, WholeNumberField, ZoneField
from fonproxy.timerange import DAY, FIRST_YEAR, UTC_ZONE, Instant, InvalidTime, Range
from usage.periods import Granularity, Period, day_of

LONGEST_HOURLY: Final = timedelta(days=62)
LAST_PAGE: Final = 10**12
INSTANT: Final = timedelta(microseconds=1)
FIRST_DAY: Final = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)


class ZonedParams(Params):
    tz = ZoneField(required=False, default=UTC_ZONE, help_text="IANA zone of days and labels. Default UTC.")


class PeriodParams(ZonedParams):
    period = serializers.ChoiceField(
        [period.value for period in Period], required=False, default=Period.MONTH.value, help_text="Weeks begin Monday."
    )


class DatesParams(ZonedParams):
    """A range of dates or instants, in UTC; what is left out follows from the other, or from today."""

    start_date = InstantField(required=False, help_text="An ISO 8601 date or date-time.")
    end_date = InstantField(required=False, help_text="Exclusive; a date means the whole of that day. Default today.")

    def default_start(self, last_day: datetime) -> datetime:
        """The day on which the range begins when nobody says so; both as their first instants."""
        raise NotImplementedError

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named = "end_date" if "end_date" in attrs else "start_date"
        end = attrs.pop("end_date", None) or Instant(day_of(timezone.now()), is_date=True)
        start = attrs.pop("start_date", None)
        if start is None:
            start = Instant(max(self.default_start(day_of(end.end - INSTANT)), FIRST_DAY), is_date=True)
        try:
            attrs["range"] = Range.between(start, end)
        except InvalidTime as fault:
            raise serializers.ValidationError({named: [str(fault)]}) from None
        attrs["length"] = end.end - start.at
        return attrs


class HistoryParams(DatesParams):
    granularity = serializers.ChoiceField(
        [granularity.value for granularity in Granularity], required=False, default=Granularity.DAILY.value
    )
    subscription_id = IdField(required=False, help_text="Only this subscription.")

    def default_start(self, last_day: datetime) -> datetime:
        return last_day - 29 * DAY

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        attrs["granularity"] = Granularity(attrs["granularity"])
        if attrs["granularity"] is Granularity.HOURLY and attrs["length"] > LONGEST_HOURLY:
            raise serializers.ValidationError({"granularity": ["Hours are told for at most two months."]})
        return attrs


class CountryParams(DatesParams):
    limit = WholeNumberField(required=False, default=10, min_value=1, max_value=300)

    def default_start(self, last_day: datetime) -> datetime:
        return last_day.replace(day=1)


class SubscriptionParams(Params):
    status = serializers.ChoiceField([status.value for status in OrderStatus], required=False)
    product_type = serializers.ChoiceField([kind.value for kind in ProxyType], required=False)
    metered = serializers.BooleanField(
        required=False, default=True, help_text="`false`: those without a positive traffic limit."
    )
    page = WholeNumberField(required=False, default=1, min_value=1, max_value=LAST_PAGE)
    per_page = WholeNumberField(required=False, default=20, min_value=1, max_value=100)
