"""FonProxy Analytics: ingest and reads of traffic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import selectors
from accounts.authentication import ShareLinkAuthentication, caller
from accounts.models import ShareLink, User
from accounts.permissions import CanIngest, HasShareLink
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic import ingest_columns, openapi, params, shared
from analytics.traffic.queries import Comparison, RankOrder
from analytics.traffic.reads import TrafficReader, TrafficResult, reader_of
from fonproxy.api.docs import problems
from fonproxy.api.params import Params
from fonproxy.api.throttles import PublicThrottle, SharedViewThrottle

Action = TypeVar("Action", bound=Callable[..., Response])


class IngestViewSet(ViewSet):
    """Ingest from gateways. Its concurrency is limited, not its rate."""

    permission_classes = [CanIngest]
    throttle_classes = []

    @extend_schema(
        tags=["FonProxy"],
        operation_id="fonproxy_ingest",
        request=openapi.IngestSerializer,
        parameters=[*ingest_service.HEADERS],
        responses={204: None, **problems(400, 401, 403, 409, 413, 415, 429, 503)},
    )
    def ingest(self, request: Request) -> Response:
        """Stores a batch of aggregated rows: 204 means they are durable and will be counted exactly once."""
        headers = ingest_service.ingest(request, IngestBatch.Route.TRAFFIC, ingest_columns.pushed_rows)
        return Response(status=204, headers=headers)


def _described(report: str, parameters: type[Params]) -> Callable[[Action], Action]:
    return extend_schema(
        tags=["FonProxy"],
        operation_id=f"fonproxy_{report}",
        parameters=[parameters],
        responses={200: openapi.ENVELOPES[report], **problems(400, 401, 403, 404, 429, 503)},
    )


def _comparison(given: dict[str, Any]) -> Comparison | None:
    return Comparison(given["compare"]) if "compare" in given else None


class TrafficViewSet(ViewSet):
    """Reads of an account's traffic within a range of at most two months."""

    action: str

    @property
    def csv_name(self) -> str:
        return self.action

    @property
    def csv_columns(self) -> list[str]:
        return openapi.COLUMNS[self.action]

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

    @_described("domains", params.RankingParams)
    def domains(self, request: Request) -> Response:
        """The domains with most bytes or requests."""
        given, reader = self._read(request, params.RankingParams)
        return self._ranking(given, reader, "domain", reader.domains(RankOrder(given["sortBy"]), given["limit"]))

    @_described("errors", params.ErrorsParams)
    def errors(self, request: Request) -> Response:
        """The most frequent errors, when they were seen and where."""
        given, reader = self._read(request, params.ErrorsParams)
        return self._ranking(given, reader, "error", reader.errors(given["limit"]))

    @_described("countries", params.RankingParams)
    def countries(self, request: Request) -> Response:
        """The countries with most bytes or requests."""
        given, reader = self._read(request, params.RankingParams)
        return self._ranking(given, reader, "country", reader.countries(RankOrder(given["sortBy"]), given["limit"]))

    @_described("websites", params.WebsitesParams)
    def websites(self, request: Request) -> Response:
        """Every domain visited, page by page, largest first."""
        given, reader = self._read(request, params.WebsitesParams)
        page, limit = given["page"], given["limit"]
        answer = reader.websites(RankOrder(given["sortBy"]), page, limit)
        paging = {"page": page, "limit": limit, "total": answer.total, "totalPages": -(-answer.total // limit)}
        return self._ranking(given, reader, "domain", answer, **paging)

    def _chart(self, request: Request) -> Response:
        given, reader = self._read(request, params.ChartParams)
        comparison = _comparison(given)
        answer = reader.chart(self.action, given["interval"], fill=given["fill"] or comparison is not None)
        previous = reader.chart_before(self.action, given["interval"], comparison) if comparison else None
        return self._answer(reader, answer, previous)

    def _ranking(
        self, given: dict[str, Any], reader: TrafficReader, column: str, answer: TrafficResult, **paging: int
    ) -> Response:
        comparison = _comparison(given)
        previous = reader.ranking_before(self.action, column, answer.rows, comparison) if comparison else None
        return self._answer(reader, answer, previous, **paging)

    def _caller(self, request: Request) -> User:
        return caller(request)

    def _query(self, request: Request) -> QueryDict:
        return request.query_params

    def _read(self, request: Request, parameters: type[Params]) -> tuple[dict[str, Any], TrafficReader]:
        given = parameters.read(self._query(request))
        user_id = selectors.account_for(self._caller(request), given.get("userId"))
        return given, reader_of(user_id, given, timezone.now())

    def _answer(
        self, reader: TrafficReader, answer: TrafficResult, previous: dict[str, Any] | None, **paging: int
    ) -> Response:
        body = {"data": answer.rows, **paging, "totals": answer.totals}
        if previous is not None:
            body["previous"] = previous
        return Response({**body, "last_data_at": reader.stamp(answer.newest) if answer.newest else None})


@extend_schema(exclude=True)
class SharedTrafficViewSet(TrafficViewSet):
    """The same reads for the view of a share link: its range and filters replace the caller's."""

    authentication_classes = [ShareLinkAuthentication]
    permission_classes = [HasShareLink]
    throttle_classes = [PublicThrottle, SharedViewThrottle]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.headers["X-Robots-Tag"] = "noindex"
        self.kwargs.clear()  # they identify the link; the reads take none

    def _caller(self, request: Request) -> User:
        assert isinstance(request.auth, ShareLink)
        return request.auth.account

    def _query(self, request: Request) -> QueryDict:
        assert isinstance(request.auth, ShareLink)
        return shared.query(request.auth.view, request.query_params, timezone.now())

    def _answer(
        self, reader: TrafficReader, answer: TrafficResult, previous: dict[str, Any] | None, **paging: int
    ) -> Response:
        """The response without the account's newest bucket, which may be outside the view."""
        return super()._answer(reader, replace(answer, newest=None), previous, **paging)
