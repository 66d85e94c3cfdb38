"""The parameters of the reads."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from analytics.traffic.queries import Comparison, RankOrder
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.api.params import CountryField, DomainField, IdField, InstantField, Params, WholeNumberField, ZoneField
from fonproxy.timerange import MAX_RANGE, UTC_ZONE, Instant, Interval, InvalidTime, Range, clock_length


class RangeParams(Params):
    orderId = IdField(required=False, help_text="Only this order.")
    domain = DomainField(required=False, help_text="Exactly this domain, in any case.")
    country = CountryField(required=False, help_text="Only this country, ISO 3166 alpha-2; XX for unknown ones.")
    proxyUser = IdField(required=False, help_text="Only this proxy login.")
    tz = ZoneField(required=False, default=UTC_ZONE, help_text="IANA zone of bucket edges and labels. Default UTC.")
    compare = serializers.ChoiceField(
        [comparison.value for comparison in Comparison],
        required=False,
        help_text="Adds the same measures of the period before, or of the same period last year, point by point.",
    )
    userId = IdField(required=False, help_text="Staff only: the user whose rows to read.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": InstantField(help_text="Start, an ISO 8601 date or date-time; without an offset in tz."),
            "to": InstantField(
                help_text="End, exclusive; a date means the whole of that day. At most two months after from."
            ),
            **super().get_fields(),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start: Instant = attrs.pop("from")
        end: Instant = attrs.pop("to")
        try:
            attrs["range"] = Range.between(start, end)
        except InvalidTime as fault:
            raise serializers.ValidationError({"to": [str(fault)]}) from None
        attrs["length"] = clock_length(start.at, end.end, attrs["tz"])
        if min(end.at - start.at, clock_length(start.at, end.at, attrs["tz"])) > MAX_RANGE:
            message = "Must lie at most two months after from."
            raise InvalidInput(
                "The range is longer than two months.",
                code="analytics.range_too_long",
                errors=[FieldError("to", message)],
            )
        return attrs


class ChartParams(RangeParams):
    interval = serializers.ChoiceField(
        [interval.value for interval in Interval if interval is not Interval.MINUTE],
        required=False,
        help_text="Default: 15m up to 2 days, 1h up to 14 days, else 1d.",
    )
    fill = serializers.BooleanField(
        required=False, default=False, help_text="Add empty buckets as zeros; always so with compare."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        given = attrs.get("interval")
        attrs["interval"] = Interval(given) if given else Interval.for_range(attrs["length"])
        return attrs


class RankingParams(RangeParams):
    sortBy = serializers.ChoiceField(
        [order.value for order in RankOrder], required=False, default=RankOrder.BYTES.value
    )
    limit = WholeNumberField(required=False, default=30, min_value=1, max_value=100)


class ErrorsParams(RangeParams):
    limit = WholeNumberField(required=False, default=50, min_value=1, max_value=100)


class WebsitesParams(RangeParams):
    sortBy = serializers.ChoiceField(
        [order.value for order in RankOrder], required=False, default=RankOrder.COUNT.value
    )
    page = WholeNumberField(required=False, default=1, min_value=1, max_value=10**12)
    limit = WholeNumberField(required=False, default=25, min_value=1, max_value=100)
