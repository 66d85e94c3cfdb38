"""The usage API under ``/api/v1/``."""

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
from usage.periods import Period, range_of, stamp
from usage.v1 import params, reads, serializers
from usage.v1.ids import find_subscription

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
    """The OpenAPI description of one route; ``by_id`` for those that have an id in their path."""
    statuses = sorted({400, 401, 403, 429, 503, *refusals, *([404] if by_id else [])})
    return extend_schema(
        tags=["Usage"],
        operation_id=f"usage_{name}",
        parameters=[*([query] if query else []), *([OpenApiParameter("id", location="path")] if by_id else [])],
        request=body,
        responses={status: answer, **problems(*statuses, shape=serializers.UsageErrorSerializer)},
    )


def success(data: Any, status: int = 200, **more: Any) -> Response:
    return Response({"data": data, **more, "success": True}, status=status)


class MeViewSet(ViewSet):
    @described("me", serializers.ME)
    def retrieve(self, request: Request) -> Response:
        """Who is calling."""
        user = caller(request)
        return success({"id": user.published_id, "username": user.username, "email": user.email})


class SubscriptionViewSet(ViewSet):
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
            proxy_type=given.get("product_type"),
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
        """One subscription, and when it will have run out."""
        now = timezone.now()
        order = find_subscription(caller(request).pk, id)
        accounts = subscriptions.accounts_of([order])
        runs_out = subscriptions.projected_exhaustions([order], accounts, now)[order.pk]
        projected = stamp(runs_out, UTC_ZONE) if runs_out else None
        return success({**serializers.described(order, accounts[order.pk], now), "projected_exhaustion_at": projected})


class UsageViewSet(ViewSet):
    csv_columns: ClassVar[tuple[str, ...]] = serializers.BY_SUBSCRIPTION_COLUMNS
    csv_list = "by_subscription"
    csv_name = "usage"

    @described("summary", serializers.SUMMARY, params.PeriodParams)
    def summary(self, request: Request) -> Response:
        """What was used in a period, by subscription and by country."""
        return self._summary(request)

    @described("of_subscription", serializers.SUMMARY, params.PeriodParams, by_id=True)
    def of_subscription(self, request: Request, id: str) -> Response:
        """The same for one subscription."""
        return self._summary(request, id)

    def _summary(self, request: Request, id: str | None = None) -> Response:
        given = params.PeriodParams.read(request.query_params)
        user_id, period, zone = caller(request).pk, Period(given["period"]), given["tz"]
        order = find_subscription(user_id, id) if id is not None else None
        first = reports.first_bucket(user_id) if period is Period.ALL else None
        return success(reads.summary(user_id, range_of(period, timezone.now(), zone, first), zone, order))

    @described("realtime", serializers.REALTIME, params.ZonedParams)
    def realtime(self, request: Request) -> Response:
        """This minute, the last hour, and the connections open at the moment."""
        given = params.ZonedParams.read(request.query_params)
        return success(reads.realtime(caller(request).pk, timezone.now(), given["tz"]))


class HistoryViewSet(ViewSet):
    csv_columns: ClassVar[tuple[str, ...]] = serializers.POINT_COLUMNS
    csv_list = "data_points"
    csv_name = "usage-history"

    @described("history", serializers.HISTORY, params.HistoryParams, refusals=(404,))
    def history(self, request: Request) -> Response:
        """Usage over time; every hour, day, week or month of the range is there."""
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
