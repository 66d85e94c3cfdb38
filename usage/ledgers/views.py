"""The ledgers and summaries of the tracking API, one pair per network that is sold by its traffic."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.models import Network
from accounts.viewsets import TrackingViewSet
from fonproxy.api import search
from fonproxy.api.docs import tracking_problems
from usage.ledgers import queries, serializers

View = TypeVar("View", bound="type[NetworkViewSet]")


class NetworkViewSet(TrackingViewSet):
    network: ClassVar[Network]


class LedgerViewSet(NetworkViewSet):
    @property
    def csv_columns(self) -> list[str]:
        return list(serializers.entry_schema(self.network)().fields)

    @property
    def csv_name(self) -> str:
        return f"{self.network}_ledger"

    def list(self, request: Request) -> Response:
        fields = queries.fields_of(self.network)
        wanted = search.parse(request.query_params, {name: kind for name, (kind, _) in fields.items()})
        entries, total = queries.search(caller(request).pk, self.network, wanted)
        rows = [serializers.described(entry, self.network) for entry in entries]
        return Response(search.page_of(rows, total, wanted, f"{self.network.label} Ledger search successful."))

    def retrieve(self, request: Request, id: str) -> Response:
        entry = queries.find_entry(caller(request).pk, self.network, id)
        message = f"{self.network.label} Ledger successfully retrieved."
        return Response({"data": serializers.described(entry, self.network), "message": message})


class SummaryViewSet(NetworkViewSet):
    def retrieve(self, request: Request) -> Response:
        data = queries.summary(caller(request).pk, self.network, timezone.now())
        return Response({"data": data, "message": f"{self.network.label} summary successfully generated."})


def _route(network: Network, name: str, summary: str, answer: type, refusals: tuple[int, ...] = (), **more: Any) -> Any:
    statuses = sorted({400, 401, 403, 404, 429, 503, *refusals})
    return extend_schema(
        tags=["Tracking"],
        operation_id=f"{network}_{name}",
        summary=summary,
        responses={200: answer, **tracking_problems(*statuses)},
        **more,
    )


def _ledger(view: View) -> View:
    network, label = view.network, view.network.label
    entry = serializers.entry_schema(network)
    kinds = {name: kind for name, (kind, _) in queries.fields_of(network).items()}
    return extend_schema_view(
        list=_route(
            network,
            "ledger_search",
            f"Search the {network} ledger",
            search.page_schema(f"{label}LedgerPage", entry),
            (422,),
            parameters=search.parameters(kinds),
        ),
        retrieve=_route(
            network,
            "ledger_retrieve",
            f"One entry of the {network} ledger",
            search.answer_schema(f"{label}LedgerAnswer", entry),
            parameters=[OpenApiParameter("id", location="path")],
        ),
    )(view)


def _summary(view: View) -> View:
    network, label = view.network, view.network.label
    answer = search.answer_schema(f"{label}SummaryAnswer", serializers.summary_schema(network))
    about = f"What is left of the {network} traffic"
    return extend_schema_view(retrieve=_route(network, "summary", about, answer))(view)


@_ledger
class ResidentialLedgerViewSet(LedgerViewSet):
    network = Network.RESIDENTIAL


@_ledger
class MobileLedgerViewSet(LedgerViewSet):
    network = Network.MOBILE


@_summary
class ResidentialSummaryViewSet(SummaryViewSet):
    network = Network.RESIDENTIAL


@_summary
class MobileSummaryViewSet(SummaryViewSet):
    network = Network.MOBILE
