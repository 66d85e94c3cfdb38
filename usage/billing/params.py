"""Query parameters of the usage of all customers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from rest_framework import serializers

from analytics.billing import Periods
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.api.params import InstantField, Params, WholeNumberField, ZoneField
from fonproxy.timerange import UTC_ZONE, InvalidTime, Range
from usage.billing.rows import BillingRequest, Group

MAX_RANGE: Final = timedelta(days=367)
"""A leap year, plus the hour by which a clock change may lengthen it."""


class UsageParams(Params):
    group = serializers.ChoiceField(
        [group.value for group in Group],
        required=False,
        default=Group.ORDER.value,
        help_text="One row per order (the default), customer, or product, proxy user or worker of a customer.",
    )
    interval = serializers.ChoiceField(
        ["total", "day"], required=False, default="total", help_text="One row for the whole range, or for each day."
    )
    tz = ZoneField(required=False, default=UTC_ZONE, help_text="IANA zone of days and of from and to. Default UTC.")
    cursor = serializers.CharField(
        required=False, help_text="`nextCursor` of the previous page, with the same parameters."
    )
    limit = WholeNumberField(
        required=False,
        min_value=1,
        max_value=10_000,
        help_text="Rows per page of JSON, 1000 by default. Streams have all rows.",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": InstantField(help_text="Start, an ISO 8601 date or date-time; without an offset in tz."),
            "to": InstantField(help_text="End, exclusive; a date means the whole of that day. At most a year on."),
            **super().get_fields(),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start, end, zone = attrs["from"], attrs["to"], attrs["tz"]
        try:
            range_ = Range.between(start, end)
        except InvalidTime as fault:
            raise serializers.ValidationError({"to": [str(fault)]}) from None
        if range_.length > MAX_RANGE:
            message = "Must lie at most a year after from."
            raise InvalidInput("The range is longer than a year.", errors=[FieldError("to", message)])
        by_day = attrs["interval"] == "day" and not range_.is_empty
        periods = Periods.days(range_, zone) if by_day else Periods.whole(range_)
        attrs["request"] = BillingRequest(periods, Group(attrs["group"]))
        # A cursor is valid for the same query only.
        names = ("group", "interval")
        attrs["filters"] = [*(attrs[name] for name in names), zone.key, *map(str, (range_.start, range_.end))]
        return attrs
