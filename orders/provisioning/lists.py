"""Lists of customers and orders for a billing system, paged by cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.models import User
from accounts.permissions import CanProvision
from fonproxy.api import cursors
from fonproxy.api.docs import problems
from fonproxy.api.params import InstantField, Params, WholeNumberField
from fonproxy.api.renderers import columns_of
from fonproxy.api.throttles import ProvisioningThrottle
from orders import ledger
from orders.models import CutOff, Order
from orders.provisioning import services
from orders.provisioning.serializers import ProvisionedOrderSerializer, UserSerializer

DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 10_000
# A change is timestamped before it is committed, so the next poll starts slightly earlier and sees some rows twice.
OVERLAP: Final = timedelta(minutes=1)

Row = TypeVar("Row", bound=Model)


class ListParams(Params):
    updatedSince = InstantField(
        required=False, help_text="Only objects changed since then: `nextUpdatedSince` of the previous poll."
    )
    cursor = serializers.CharField(
        required=False, help_text="`nextCursor` of the previous page, with the same filters."
    )
    limit = WholeNumberField(required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT)


class UserListParams(ListParams):
    status = serializers.ChoiceField(choices=["active", "inactive"], required=False)


class OrderListParams(ListParams):
    status = serializers.ChoiceField(
        choices=CutOff.State.choices, required=False, help_text="The state published to gateways, at most seconds old."
    )


class ListedUserSerializer(UserSerializer):
    externalId = serializers.CharField(source="external_id", allow_null=True)
    isActive = serializers.BooleanField(source="is_active")
    createdAt = serializers.DateTimeField(source="date_joined")
    updatedAt = serializers.SerializerMethodField()

    @extend_schema_field(serializers.DateTimeField())
    def get_updatedAt(self, user: User) -> str | None:
        return serializers.DateTimeField().to_representation(user.updated_at or user.date_joined)


class ListedOrderSerializer(ProvisionedOrderSerializer):
    """An order without its logins, of which there may be thousands; the route of a single order returns them."""

    proxyUsers = None  # type: ignore[assignment]  # how Django REST framework leaves out an inherited field
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField(help_text="When something other than its usage last changed.")


class ListPage(serializers.Serializer[Any]):
    nextCursor = serializers.CharField(allow_null=True, help_text="Null on the last page.")
    nextUpdatedSince = serializers.DateTimeField(
        help_text="`updatedSince` of the next poll, after the last page: the start of this one, less a minute."
    )


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class UserPage(ListPage):
    users = ListedUserSerializer(many=True)


@extend_schema_serializer(many=False)
class OrderPage(ListPage):
    orders = ListedOrderSerializer(many=True)


@dataclass(frozen=True, slots=True)
class FoundPage(Generic[Row]):
    """One page: its rows by number, the cursor after them, and the start of the next poll."""

    rows: list[Row]
    cursor: str | None
    next_since: datetime


def customers(status: str | None, since: datetime | None) -> QuerySet[User]:
    """Accounts that are not staff, by number."""
    found = User.objects.filter(is_staff=False, is_superuser=False)
    if status is not None:
        found = found.filter(is_active=status == "active")
    if since is not None:
        found = found.filter(Q(updated_at__gte=since) | Q(date_joined__gte=since))
    return found.order_by("pk")


def orders(status: str | None, since: datetime | None) -> QuerySet[Order]:
    """Orders by number. A new state counts as a change, usage does not."""
    found = Order.objects.select_related("user", "product", "cut_off")
    if status == CutOff.State.ACTIVE:
        found = found.filter(Q(cut_off=None) | Q(cut_off__state=status))
    elif status is not None:
        found = found.filter(cut_off__state=status)
    if since is not None:
        changed = Q(updated_at__gte=since) | Q(created_at__gte=since) | Q(cut_off__changed_at__gte=since)
        found = found.filter(changed)
    return found.order_by("pk")


def page(
    name: str, rows: Callable[[str | None, datetime | None], QuerySet[Row]], given: dict[str, Any]
) -> FoundPage[Row]:
    """The page that the parameters select. Raises InvalidInput for a foreign cursor."""
    status, since = given.get("status"), given["updatedSince"].at if "updatedSince" in given else None
    filters = [status, since and since.isoformat()]
    last, started = 0, timezone.now().isoformat()
    if "cursor" in given:
        last, started = cursors.decode(given["cursor"], name, filters)
    found = list(rows(status, since).filter(pk__gt=last)[: given["limit"] + 1])
    shown = found[: given["limit"]]
    cursor = cursors.encode(name, filters, [shown[-1].pk, started]) if len(found) > len(shown) else None
    return FoundPage(shown, cursor, datetime.fromisoformat(started) - OVERLAP)


def _listed(found: Iterable[Order], now: datetime) -> list[dict[str, Any]]:
    found = list(found)
    balances = ledger.balances([order.pk for order in found])
    return [
        {
            **services.facts_of(order, balances[order.pk], now),
            "createdAt": order.created_at,
            "updatedAt": max(filter(None, (order.created_at, order.updated_at, _stopped_at(order)))),
        }
        for order in found
    ]


def _stopped_at(order: Order) -> datetime | None:
    """When the order's state last changed, if it ever did."""
    cut_off: CutOff | None = getattr(order, "cut_off", None)
    return cut_off.changed_at if cut_off else None


class ListViewSet(ViewSet):
    permission_classes = [CanProvision]
    throttle_classes = [ProvisioningThrottle]

    def answer(self, request: Request, page: type[ListPage], name: str, rows: Any, found: FoundPage[Any]) -> Response:
        data = page({name: rows, "nextCursor": found.cursor, "nextUpdatedSince": found.next_since}).data
        headers = {"Link": cursors.link_to_next(request, found.cursor)} if found.cursor else {}
        return Response(data, headers=headers)


def _listing(name: str, summary: str, params: type[Params], page: type[ListPage]) -> Callable[[Any], Any]:
    described = "One page. In CSV, the header `Link` has the next page."
    return extend_schema(
        tags=["Provisioning"],
        operation_id=f"provisioning_{name}",
        summary=summary,
        parameters=[params],
        responses={200: OpenApiResponse(page, description=described), **problems(400, 401, 403, 429, 503)},
    )


class UserListViewSet(ListViewSet):
    required_permissions = {"list": ("accounts.view_user",)}
    csv_columns = columns_of(ListedUserSerializer)
    csv_name = "users"

    @_listing("list_users", "Customers, by cursor", UserListParams, UserPage)
    def list(self, request: Request) -> Response:
        found = page("users", customers, UserListParams.read(request.query_params))
        return self.answer(request, UserPage, "users", found.rows, found)


class OrderListViewSet(ListViewSet):
    required_permissions = {"list": ("orders.view_order",)}
    # All columns but `period`, which is an object.
    csv_columns = columns_of(ListedOrderSerializer, without=["period"])
    csv_name = "orders"

    @_listing("list_orders", "Orders with their accounts, by cursor", OrderListParams, OrderPage)
    def list(self, request: Request) -> Response:
        found = page("orders", orders, OrderListParams.read(request.query_params))
        return self.answer(request, OrderPage, "orders", _listed(found.rows, timezone.now()), found)
