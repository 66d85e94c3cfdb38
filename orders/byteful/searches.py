"""The searchable lists of Byteful's API: a page of rows that match all filters, and one row by its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from fonproxy.api import search
from fonproxy.api.params import Params, ZoneField
from fonproxy.timerange import UTC_ZONE, local_stamp
from orders.byteful.family import TAG, BytefulViewSet, byteful_problems

Row = dict[str, Any]


class _RetrieveParams(Params):
    tz = ZoneField(required=False, default=UTC_ZONE, help_text="IANA zone of date-times. Default UTC.")


class SearchViewSet(BytefulViewSet):
    """A search and a read of one row.

    Subclasses read the rows; ``title`` begins their messages. ``fields`` are the searchable fields; those of type
    ``MOMENT`` hold times.
    """

    title: ClassVar[str]
    fields: ClassVar[Mapping[str, search.FieldType]]

    def search(self, user_id: int, wanted: search.Search, now: datetime) -> tuple[Sequence[Row], int]:
        """One page of the account's rows, and the number of all; raises NotFound for an id of another account."""
        raise NotImplementedError

    def find(self, user_id: int, row_id: str, /, now: datetime) -> Row:
        """The account's row of that id; raises NotFound."""
        raise NotImplementedError

    def list(self, request: Request) -> Response:
        wanted = search.parse(request.query_params, self.fields)
        rows, total = self.search(caller(request).pk, wanted, timezone.now())
        for row in rows:
            self._stamp(row, wanted.zone)
        return Response(search.page_of(rows, total, wanted, f"{self.title} search successful."))

    def retrieve(self, request: Request, id: str) -> Response:
        given = _RetrieveParams.read(request.query_params)
        row = self.find(caller(request).pk, id, timezone.now())
        self._stamp(row, given["tz"])
        return Response({"data": row, "message": f"{self.title} successfully retrieved."})

    def _stamp(self, row: Row, zone: ZoneInfo) -> None:
        for name, kind in self.fields.items():
            if kind is search.MOMENT:
                row[name] = local_stamp(row[name], zone)


View = TypeVar("View", bound="type[SearchViewSet]")


def describe_search(
    operation: str,
    name: str,
    row: type[serializers.Serializer[Any]],
    *,
    many: Mapping[str, Any],
    one: Mapping[str, Any],
    total_count: str = "All matching rows.",
) -> Callable[[View], View]:
    """The OpenAPI description of a subclass, with the schemas ``<name>Page`` and ``<name>Answer``.

    ``many`` and ``one`` describe the search and the read of one row, ``total_count`` describes that field.
    """

    def decorate(view: View) -> View:
        return extend_schema_view(
            list=extend_schema(
                tags=[TAG],
                operation_id=f"byteful_{operation}_search",
                parameters=search.parameters(view.fields),
                responses={
                    200: search.page_schema(f"{name}Page", row, total_count),
                    **byteful_problems(400, 401, 403, 404, 422, 429, 503),
                },
                **many,
            ),
            retrieve=extend_schema(
                tags=[TAG],
                operation_id=f"byteful_{operation}_retrieve",
                parameters=[OpenApiParameter("id", location="path"), _RetrieveParams],
                responses={
                    200: search.answer_schema(f"{name}Answer", row),
                    **byteful_problems(400, 401, 403, 404, 429, 503),
                },
                **one,
            ),
        )(view)

    return decorate
