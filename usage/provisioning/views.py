"""The routes under ``/provisioning/``, which a billing system drives by its own ids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import caller
from accounts.models import Order
from accounts.permissions import IsStaff
from fonproxy.api.docs import problems
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.api.throttles import ProvisioningThrottle
from usage import cut_off, erasure, orders
from usage.models import LedgerEntry, Reason
from usage.provisioning import serializers, services
from usage.provisioning.serializers import PRINTABLE

Action = TypeVar("Action", bound=Callable[..., Response])


def _described(
    name: str, summary: str, *, body: type | None = None, answers: dict[int, Any], refusals: tuple[int, ...]
) -> Callable[[Action], Action]:
    return extend_schema(
        tags=["Provisioning"],
        operation_id=f"provisioning_{name}",
        summary=summary,
        request=body,
        responses={**answers, **problems(*sorted({400, 401, 403, 429, 503, *refusals}))},
    )


def _checked(external_id: str) -> str:
    if not PRINTABLE.fullmatch(external_id):
        message = "Must be 1 to 128 printable ASCII characters without spaces."
        raise InvalidInput("The external id is malformed.", errors=[FieldError("externalId", message)])
    return external_id


class UserViewSet(ViewSet):
    permission_classes = [IsStaff]
    throttle_classes = [ProvisioningThrottle]

    @_described(
        "put_user",
        "Make a customer, or change it",
        body=serializers.UserBody,
        answers={200: serializers.UserAnswer, 201: serializers.UserAnswer},
        refusals=(409, 413, 415),
    )
    def replace(self, request: Request, externalId: str) -> Response:
        body = serializers.UserBody(data=request.data)
        body.is_valid(raise_exception=True)
        user, is_new = services.put_user(_checked(externalId), body.validated_data)
        return Response(serializers.UserAnswer({"user": user}).data, status=201 if is_new else 200)

    @_described(
        "erase_user",
        "Erase a customer and all that is known of it",
        answers={200: serializers.ErasedAnswer},
        refusals=(404,),
    )
    def erase(self, request: Request, externalId: str) -> Response:
        erased = erasure.erase(erasure.find_customer(externalId), timezone.now())
        return Response({"erased": erased})


class OrderViewSet(ViewSet):
    permission_classes = [IsStaff]
    throttle_classes = [ProvisioningThrottle]

    @_described(
        "put_order",
        "Sell an order, or change it",
        body=serializers.OrderBody,
        answers={200: serializers.OrderAnswer, 201: serializers.OrderAnswer},
        refusals=(409, 413, 415),
    )
    def replace(self, request: Request, externalId: str) -> Response:
        now = timezone.now()
        body = serializers.OrderBody(data=request.data)
        body.is_valid(raise_exception=True)
        order, is_new = services.put_order(
            _checked(externalId), body.validated_data, author=caller(request).username, now=now
        )
        return _order(order, now, status=201 if is_new else 200)

    @_described("get_order", "An order and its account", answers={200: serializers.OrderAnswer}, refusals=(404,))
    def retrieve(self, request: Request, externalId: str) -> Response:
        return _order(services.find_order(externalId), timezone.now())

    @_described(
        "top_up",
        "Add to this period's limit",
        body=serializers.CreditBody,
        answers={200: serializers.PostedAnswer, 201: serializers.PostedAnswer},
        refusals=(404, 409, 413, 415),
    )
    def top_up(self, request: Request, externalId: str) -> Response:
        return self._credit(request, externalId, Reason.TOP_UP, serializers.CreditBody)

    @_described(
        "refund",
        "Give back traffic",
        body=serializers.CreditBody,
        answers={200: serializers.PostedAnswer, 201: serializers.PostedAnswer},
        refusals=(404, 409, 413, 415),
    )
    def refund(self, request: Request, externalId: str) -> Response:
        return self._credit(request, externalId, Reason.REFUND, serializers.CreditBody)

    @_described(
        "adjust",
        "Correct this period's limit either way",
        body=serializers.AdjustmentBody,
        answers={200: serializers.PostedAnswer, 201: serializers.PostedAnswer},
        refusals=(404, 409, 413, 415),
    )
    def adjust(self, request: Request, externalId: str) -> Response:
        return self._credit(request, externalId, Reason.ADJUSTMENT, serializers.AdjustmentBody)

    @_described(
        "renew",
        "Begin a new period now",
        body=serializers.RenewalBody,
        answers={200: serializers.PostedAnswer, 201: serializers.PostedAnswer},
        refusals=(404, 409, 413, 415),
    )
    def renew(self, request: Request, externalId: str) -> Response:
        now = timezone.now()
        order = services.find_order(externalId)
        body = serializers.RenewalBody(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        entry, is_new = orders.renew(
            order,
            reference=given["reference"],
            amount=given["bytes"],
            expires_at=given["expiresAt"],
            note=given["note"],
            author=caller(request).username,
            now=now,
        )
        return _posted(entry, order, now, is_new)

    @_described("suspend", "Stop it for now", answers={200: serializers.OrderAnswer}, refusals=(404,))
    def suspend(self, request: Request, externalId: str) -> Response:
        now = timezone.now()
        return _order(orders.suspend(services.find_order(externalId), now), now)

    @_described("resume", "Let it go on", answers={200: serializers.OrderAnswer}, refusals=(404,))
    def resume(self, request: Request, externalId: str) -> Response:
        now = timezone.now()
        return _order(orders.resume(services.find_order(externalId), now), now)

    @_described("expire", "End it now", answers={200: serializers.OrderAnswer}, refusals=(404,))
    def expire(self, request: Request, externalId: str) -> Response:
        now = timezone.now()
        return _order(orders.expire(services.find_order(externalId), now), now)

    def _credit(
        self, request: Request, external_id: str, reason: Reason, serializer: type[serializers.CreditBody]
    ) -> Response:
        now = timezone.now()
        order = services.find_order(external_id)
        body = serializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        entry, is_new = orders.credit(
            order,
            reason,
            given["bytes"],
            reference=given["reference"],
            note=given["note"],
            author=caller(request).username,
            now=now,
        )
        return _posted(entry, order, now, is_new)


class FeedViewSet(ViewSet):
    permission_classes = [IsStaff]
    throttle_classes = [ProvisioningThrottle]
    csv_columns = ("externalId", "id", "orderId", "userId", "state", "at", "proxyUsers")
    csv_name = "exhausted"

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_exhausted",
        summary="Whose traffic to stop, and whose to carry again",
        parameters=[serializers.FeedParams],
        responses={200: serializers.FeedAnswer, **problems(400, 401, 403, 429, 503)},
    )
    def list(self, request: Request) -> Response:
        """Every order that used up, expired or was suspended since the cursor, and those that came back, in order."""
        given = serializers.FeedParams.read(request.query_params)
        changes = cut_off.changes_since(given["since"], given["limit"] + 1)
        shown = changes[: given["limit"]]
        cursor = shown[-1].number if shown else given["since"]
        answer = {"changes": shown, "cursor": str(cursor), "hasMore": len(changes) > len(shown)}
        return Response(serializers.FeedAnswer(answer).data)


def _order(order: Order, now: datetime, status: int = 200) -> Response:
    return Response({"order": _fresh(order, now)}, status=status)


def _posted(entry: LedgerEntry, order: Order, now: datetime, is_new: bool) -> Response:
    told = serializers.EntrySerializer(entry).data
    return Response({"entry": told, "order": _fresh(order, now)}, status=201 if is_new else 200)


def _fresh(order: Order, now: datetime) -> dict[str, Any]:
    current = Order.objects.select_related("user", "product").get(pk=order.pk)
    return dict(serializers.ProvisionedOrderSerializer(services.described(current, now)).data)
