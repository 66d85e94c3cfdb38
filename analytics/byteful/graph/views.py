"""Byteful's graph and breakdown."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from analytics.byteful.graph.params import FILTERS, BreakdownParams, GraphParams, GraphPeriodParams, period_of
from analytics.byteful.graph.queries import Filters
from analytics.byteful.graph.reads import LISTS, NAMES, GraphReader
from analytics.byteful.graph.sources import Dimension, GraphInterval, GraphRequest
from fonproxy.api.docs import shape
from fonproxy.api.search import answer_schema, refuse_unkept
from orders import selectors
from orders.byteful.family import TAG, BytefulViewSet, byteful_problems

FLAGS: Final = {dimension: f"return_{name}" for dimension, name in LISTS.items()}
MEASURES: Final = ("requests", "bytes", "successful", "error")


def _measured(name: str, /, **fields: Any) -> type[serializers.Serializer[Any]]:
    return shape(name, **fields, **{measure: serializers.IntegerField() for measure in MEASURES})


SUMMARY: Final = _measured("TrafficSummary")


def _period() -> dict[str, Any]:
    return {
        "period_start": serializers.CharField(help_text="YYYY-MM-DD HH:MM:SS"),
        "period_end": serializers.CharField(help_text="YYYY-MM-DD HH:MM:SS, exclusive."),
        "summary": SUMMARY(),
    }


GRAPH: Final = shape(
    "Graph",
    **_period(),
    interval=serializers.ChoiceField([width.value for width in GraphInterval]),
    graph=_measured(
        "GraphPoint",
        datetime=serializers.CharField(help_text="Start of the point, YYYY-MM-DD HH:MM:SS"),
        concurrency=serializers.IntegerField(required=False, help_text="The largest reported concurrency."),
    )(many=True),
)
BREAKDOWN: Final = shape(
    "Breakdown",
    **_period(),
    **{
        LISTS[dimension]: _measured(
            f"BreakdownBy{dimension.name.title().replace('_', '')}",
            **{name: serializers.CharField(allow_null=dimension is not Dimension.HOSTNAME)},
        )(many=True, required=False)
        for dimension, name in NAMES.items()
    },
)


class GraphViewSet(BytefulViewSet):
    csv_list = "graph"
    csv_name = "graph"

    @property
    def csv_columns(self) -> tuple[str, ...]:
        return ("datetime", *MEASURES, *(("concurrency",) if self.shows_concurrency else ()))

    @extend_schema(
        tags=[TAG],
        operation_id="byteful_graph",
        parameters=[GraphParams],
        responses={
            200: answer_schema("GraphAnswer", GRAPH),
            **byteful_problems(400, 401, 403, 404, 422, 429, 503),
        },
    )
    def retrieve(self, request: Request) -> Response:
        """Traffic of any age over time, from whichever of single requests, buckets or summaries still covers it."""
        given, reader, asked = _read(request, GraphParams)
        self.shows_concurrency: bool = given["show_log_concurrency"]
        data = reader.graph(asked, with_concurrency=self.shows_concurrency)
        return Response({"data": data, "message": "Analytics graph successfully generated."})


class BreakdownViewSet(BytefulViewSet):
    csv_name = "breakdown"

    @property
    def csv_list(self) -> str:
        """The first that was asked for."""
        return LISTS[self.lists[0]] if self.lists else "none"

    @property
    def csv_columns(self) -> tuple[str, ...]:
        return (*(NAMES[dimension] for dimension in self.lists[:1]), *MEASURES)

    @extend_schema(
        tags=[TAG],
        operation_id="byteful_breakdown",
        parameters=[BreakdownParams],
        responses={
            200: answer_schema("BreakdownAnswer", BREAKDOWN),
            **byteful_problems(400, 401, 403, 404, 422, 429, 503),
        },
    )
    def retrieve(self, request: Request) -> Response:
        """Traffic of a period by host name, network and proxy user."""
        given, reader, asked = _read(request, BreakdownParams)
        self.lists = [dimension for dimension, flag in FLAGS.items() if given.get(flag)]
        if not self.lists:
            unnamed = [dimension for dimension, flag in FLAGS.items() if flag not in given]
            self.lists = reader.kept_lists(asked, unnamed)
        data = reader.breakdown(asked, self.lists, given["sort_by"], given["limit"])
        return Response({"data": data, "message": "Analytics breakdown successfully generated."})


def _read(request: Request, parameters: type[GraphPeriodParams]) -> tuple[dict[str, Any], GraphReader, GraphRequest]:
    now = timezone.now()
    given = parameters.read(request.query_params)
    refuse_unkept(request.query_params, FILTERS)
    filters = _filters(caller(request).pk, given)
    start, end = period_of(given, now)
    asked = GraphRequest(start, end, given.get("interval"), filters.dimensions, zone=given["tz"])
    return given, GraphReader(filters, now), asked


def _filters(user_id: int, given: dict[str, Any]) -> Filters:
    """The filters of the request. Raises NotFound for an id of another account."""
    network: str | None = given.get("network")
    order = selectors.find_order(user_id, given["service_id"]) if "service_id" in given else None
    login: str | None = given.get("proxy_user_id")
    orders: tuple[int, ...] | None = None
    if order is not None:
        orders = (order.pk,) if network in (None, order.product.network) else ()
    elif network is not None:
        orders = tuple(selectors.orders_of(user_id).filter(product__network=network).values_list("pk", flat=True))
    return Filters(
        user_id,
        order_id=order.pk if order else None,
        network=network,
        proxy_user_id=None if login is None else selectors.proxy_user_number(user_id, login),
        hostname=given.get("hostname"),
        orders=orders,
    )
