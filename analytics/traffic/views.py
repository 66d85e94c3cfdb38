"""The routes under ``/analytics/``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import selectors
from accounts.authentication import caller
from accounts.permissions import CanIngest
from analytics import intake
from analytics.models import Batch
from analytics.traffic import params, rows, schema
from analytics.traffic.queries import DomainOrder, Measure, Scope
from analytics.traffic.reads import Answer, Reader
from fonproxy.api.docs import problems
from fonproxy.api.params import Params

Action = TypeVar("Action", bound=Callable[..., Response])

CHARTS: Final = {
    "traffic": {
        "total_bytes_sent": Measure.BYTES_SENT,
        "total_bytes_received": Measure.BYTES_RECEIVED,
        "bytes_total": Measure.BYTES_TOTAL,
        "total_count": Measure.COUNT,
    },
    "requests": {"total_count": Measure.COUNT, "total_errors": Measure.ERRORS},
    "concurrency": {"max_concurrency": Measure.MAX_CONCURRENCY, "total_count": Measure.COUNT},
}


class IngestViewSet(ViewSet):
    """Intake from proxy workers. It is limited by how many bodies are worked on at once, not by a rate."""

    permission_classes = [CanIngest]
    throttle_classes = []

    @extend_schema(
        tags=["Analytics"],
        operation_id="analytics_ingest",
        request=schema.IngestSerializer,
        parameters=[*intake.HEADERS],
        responses={204: None, **problems(400, 401, 403, 409, 413, 415, 429, 503)},
    )
    def ingest(self, request: Request) -> Response:
        """Takes a batch of aggregated lines: 204 means they are durable and will be counted exactly once."""
        intake.take(request, Batch.Route.TRAFFIC, rows.to_inbox)
        return Response(status=204)


def _described(report: str, parameters: type[Params]) -> Callable[[Action], Action]:
    return extend_schema(
        tags=["Analytics"],
        operation_id=f"analytics_{report}",
        parameters=[parameters],
        responses={200: schema.ENVELOPES[report], **problems(400, 401, 403, 404, 429, 503)},
    )


class TrafficViewSet(ViewSet):
    """The six reads: what an account's proxies carried within a range of at most two months."""

    action: str
    csv_name: ClassVar[str] = "analytics"

    @property
    def csv_columns(self) -> list[str]:
        return schema.COLUMNS[self.action]

    @_described("traffic", params.ChartParams)
    def traffic(self, request: Request) -> Response:
        """Bytes sent and received over time."""
        return self._chart(request)

    @_described("requests", params.ChartParams)
    def requests(self, request: Request) -> Response:
        """Requests and errors over time."""
        return self._chart(request)

    @_described("concurrency", params.ChartParams)
    def concurrency(self, request: Request) -> Response:
        """The largest reported concurrency over time."""
        return self._chart(request)

    @_described("domains", params.DomainsParams)
    def domains(self, request: Request) -> Response:
        """The domains with most bytes or requests."""
        given, reader = self._read(request, params.DomainsParams)
        return self._answer(reader, reader.domains(DomainOrder(given["sortBy"]), given["limit"]))

    @_described("errors", params.ErrorsParams)
    def errors(self, request: Request) -> Response:
        """The most frequent errors, when they were seen and where."""
        given, reader = self._read(request, params.ErrorsParams)
        return self._answer(reader, reader.errors(given["limit"]))

    @_described("websites", params.WebsitesParams)
    def websites(self, request: Request) -> Response:
        """Every domain visited, page by page, most requested first."""
        given, reader = self._read(request, params.WebsitesParams)
        page, limit = given["page"], given["limit"]
        answer = reader.websites(page, limit)
        paging = {"page": page, "limit": limit, "total": answer.total, "totalPages": -(-answer.total // limit)}
        return self._answer(reader, answer, **paging)

    def _chart(self, request: Request) -> Response:
        given, reader = self._read(request, params.ChartParams)
        return self._answer(reader, reader.chart(given["interval"], CHARTS[self.action], fill=given["fill"]))

    def _read(self, request: Request, parameters: type[Params]) -> tuple[dict[str, Any], Reader]:
        given = parameters.read(request.query_params)
        user_id = selectors.account_for(caller(request), given.get("userId"))
        order_id = selectors.find_order(user_id, given["orderId"]).pk if "orderId" in given else None
        scope = Scope(user_id, given["range"], order_id, given.get("domain"))
        return given, Reader(scope, given["tz"], timezone.now())

    def _answer(self, reader: Reader, answer: Answer, **paging: int) -> Response:
        newest = reader.stamp(answer.newest) if answer.newest else None
        return Response({"data": answer.rows, **paging, "last_data_at": newest})
