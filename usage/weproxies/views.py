"""WeProxies' usage API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import caller
from analytics import reports
from fonproxy.api.docs import problems
from fonproxy.api.params import Params
from fonproxy.timerange import UTC_ZONE
from usage import subscriptions
from usage.ids import find_subscription
from usage.periods import UsagePeriod, range_of, stamp
from usage.weproxies import params, reads, serializers

Action = TypeVar("Action", bound=Callable[..., Response])


def described(
    name: str,
    answer: Any,
    query: type[Params] | None = None,
    *,
    refusals: tuple[int, ...] = (),
    by_id: bool = False,
    status: int = 200,
    body: Any = None,
) -> Callable[[Action], Action]:
    """The OpenAPI description of a route; ``by_id`` for an id in its path."""
    statuses = sorted({400, 401, 403, 429, 503, *refusals, *([404] if by_id else [])})
    return extend_schema(
        tags=["WeProxies"],
        operation_id=f"weproxies_{name}",
        parameters=[*([query] if query else []), *([OpenApiParameter("id", location="path")] if by_id else [])],
        request=body,
        responses={status: answer, **problems(*statuses, shape=serializers.WeproxiesErrorSerializer)},
    )


def success(data: Any, status: int = 200, **more: Any) -> Response:
    return Response({"data": data, **more, "success": True}, status=status)


class MeViewSet(ViewSet):
    @described("me", serializers.ME)
    def retrieve(self, request: Request) -> Response:
        """The caller's account."""
        user = caller(request)
        return success({"id": user.published_id, "username": user.username, "email": user.email})


class SubscriptionViewSet(ViewSet):
    lookup_field = "id"
    csv_columns: ClassVar[tuple[str, ...]] = serializers.SUBSCRIPTION_COLUMNS
    csv_name = "subscriptions"

    @described("subscriptions", serializers.SUBSCRIPTIONS, params.SubscriptionParams)
    def list(self, request: Request) -> Response:
        """The customer's subscriptions with a traffic limit, newest first."""
        given = params.SubscriptionParams.read(request.query_params)
        now, page, per_page = timezone.now(), given["page"], given["per_page"]
        found = subscriptions.subscriptions_of(
            caller(request).pk,
            now,
            status=given.get("status"),
            product_type=given.get("product_type"),
            metered=given["metered"],
        )
        total = found.count()
        orders = list(found[(page - 1) * per_page : page * per_page])
        accounts = subscriptions.accounts_of(orders)
        rows = [serializers.described(order, accounts[order.pk], now) for order in orders]
        paging = {"page": page, "per_page": per_page, "total": total, "total_pages": -(-total // per_page)}
        return success(rows, pagination=paging)

    @described("subscription", serializers.SUBSCRIPTION, by_id=True)
    def retrieve(self, request: Request, id: str) -> Response:
        """One subscription with its projected exhaustion."""
        now = timezone.now()
        order = find_subscription(caller(request).pk, id)
        accounts = subscriptions.accounts_of([order])
        runs_out = subscriptions.projected_exhaustions([order], accounts, now)[order.pk]
        projected = stamp(runs_out, UTC_ZONE) if runs_out else None
        return success({**serializers.described(order, accounts[order.pk], now), "projected_exhaustion_at": projected})


class WeProxiesUsageViewSet(ViewSet):
    csv_columns: ClassVar[tuple[str, ...]] = serializers.BY_SUBSCRIPTION_COLUMNS
    csv_list = "by_subscription"
    csv_name = "usage"

    @described("summary", serializers.SUMMARY, params.UsagePeriodParams)
    def summary(self, request: Request) -> Response:
        """Usage of a period by subscription and country."""
        return self._summary(request)

    @described("of_subscription", serializers.SUMMARY, params.UsagePeriodParams, by_id=True)
    def of_subscription(self, request: Request, id: str) -> Response:
        """Usage of a period of one subscription."""
        return self._summary(request, id)

    def _summary(self, request: Request, id: str | None = None) -> Response:
        given = params.UsagePeriodParams.read(request.query_params)
        user_id, period, zone = caller(request).pk, UsagePeriod(given["period"]), given["tz"]
        order = find_subscription(user_id, id) if id is not None else None
        is_all = period is UsagePeriod.ALL
        first = reports.first_bucket(user_id) if is_all else None
        newest = reports.newest_bucket(user_id) if is_all else None
        return success(reads.summary(user_id, range_of(period, timezone.now(), zone, first, newest), zone, order))

    @described("realtime", serializers.REALTIME, params.ZonedParams)
    def realtime(self, request: Request) -> Response:
        """Usage of this minute and the last hour, and open connections."""
        given = params.ZonedParams.read(request.query_params)
        return success(reads.realtime(caller(request).pk, timezone.now(), given["tz"]))


class HistoryViewSet(ViewSet):
    csv_columns: ClassVar[tuple[str, ...]] = serializers.POINT_COLUMNS
    csv_list = "data_points"
    csv_name = "usage-history"

    @described("history", serializers.HISTORY, params.HistoryParams, refusals=(404,))
    def history(self, request: Request) -> Response:
        """Usage over time, with every hour, day, week or month of the range."""
        given = params.HistoryParams.read(request.query_params)
        user_id = caller(request).pk
        named = given.get("subscription_id")
        order = find_subscription(user_id, named) if named else None
        return success(reads.history(user_id, given["range"], given["granularity"], given["tz"], order))


class CountryViewSet(ViewSet):
    csv_columns: ClassVar[tuple[str, ...]] = serializers.COUNTRY_COLUMNS
    csv_list = "countries"
    csv_name = "usage-by-country"

    @described("by_country", serializers.COUNTRIES, params.CountryParams)
    def by_country(self, request: Request) -> Response:
        """The countries with most requests."""
        given = params.CountryParams.read(request.query_params)
        return success(reads.by_country(caller(request).pk, given["range"], given["limit"]))
