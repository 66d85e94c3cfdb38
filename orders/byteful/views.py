"""Byteful's ledgers and account summaries, one pair for each network that is sold by traffic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from fonproxy.api.search import Search, answer_schema
from orders.byteful import queries, serializers
from orders.byteful.family import TAG, BytefulViewSet, byteful_problems
from orders.byteful.searches import Row, SearchViewSet, describe_search
from orders.models import Network


class LedgerViewSet(SearchViewSet):
    network: ClassVar[Network]

    @property
    def csv_columns(self) -> list[str]:
        return list(serializers.entry_schema(self.network)().fields)

    @property
    def csv_name(self) -> str:
        return f"{self.network}_ledger"

    def search(self, user_id: int, wanted: Search, now: datetime) -> tuple[Sequence[Row], int]:
        entries, total = queries.search(user_id, self.network, wanted)
        return [serializers.described(entry, self.network) for entry in entries], total

    def find(self, user_id: int, row_id: str, /, now: datetime) -> Row:
        return serializers.described(queries.find_entry(user_id, self.network, row_id), self.network)


class AccountSummaryViewSet(BytefulViewSet):
    network: ClassVar[Network]

    def retrieve(self, request: Request) -> Response:
        data = queries.summary(caller(request).pk, self.network, timezone.now())
        return Response({"data": data, "message": f"{self.network.label} summary successfully generated."})


class CustomerViewSet(BytefulViewSet):
    @extend_schema(
        tags=[TAG],
        operation_id="customer_retrieve",
        summary="The caller's account and balances",
        responses={200: serializers.CUSTOMER, **byteful_problems(400, 401, 403, 429, 503)},
    )
    def retrieve(self, request: Request) -> Response:
        """Returns the account of the credentials; clients use it to check their keys."""
        data = queries.customer(caller(request).pk, timezone.now())
        return Response({"data": data, "message": "Customer successfully retrieved."})


def _ledger(view: type[LedgerViewSet]) -> type[LedgerViewSet]:
    network = view.network
    return describe_search(
        f"{network}_ledger",
        f"{network.label}Ledger",
        serializers.entry_schema(network),
        many={
            "summary": f"Search the {network} ledger",
            "description": f"The entries of {network} orders that match all filters.",
        },
        one={
            "summary": f"One entry of the {network} ledger",
            "description": "A credit, an adjustment or the usage of a day.",
        },
    )(view)


def _summary(view: type[AccountSummaryViewSet]) -> type[AccountSummaryViewSet]:
    network, label = view.network, view.network.label
    return extend_schema_view(
        retrieve=extend_schema(
            tags=[TAG],
            operation_id=f"byteful_{network}_summary",
            summary=f"Remaining {network} traffic",
            description=f"The balances of the account's {network} orders together.",
            responses={
                200: answer_schema(f"{label}SummaryAnswer", serializers.summary_schema(network)),
                **byteful_problems(400, 401, 403, 404, 429, 503),
            },
        )
    )(view)


@_ledger
class ResidentialLedgerViewSet(LedgerViewSet):
    network = Network.RESIDENTIAL
    title = "Residential Ledger"
    fields = queries.types_of(network)


@_ledger
class MobileLedgerViewSet(LedgerViewSet):
    network = Network.MOBILE
    title = "Mobile Ledger"
    fields = queries.types_of(network)


@_summary
class ResidentialSummaryViewSet(AccountSummaryViewSet):
    network = Network.RESIDENTIAL


@_summary
class MobileSummaryViewSet(AccountSummaryViewSet):
    network = Network.MOBILE
