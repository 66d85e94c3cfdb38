"""Provisioning routes, for a billing system with its own ids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import audit_trail, erasure
from accounts.audit_trail import Actor
from accounts.authentication import caller
from accounts.models import AuditRecord
from accounts.permissions import CanFollowCutOff, CanProvision
from accounts.selectors import find_customer
from fonproxy.api.docs import problems
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.api.renderers import columns_of
from fonproxy.api.throttles import ProvisioningThrottle
from orders import enforcement
from orders import services as order_services
from orders.models import LedgerEntry, LedgerReason, Order
from orders.provisioning import serializers, services
from orders.provisioning.serializers import PRINTABLE

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


class ProvisionedUserViewSet(ViewSet):
    permission_classes = [CanProvision]
    required_permissions = {
        "replace": ("accounts.add_user", "accounts.change_user"),
        "retrieve": ("accounts.view_user",),
        "erase": ("accounts.delete_user",),
    }
    throttle_classes = [ProvisioningThrottle]

    @_described(
        "put_user",
        "Create or change a customer",
        body=serializers.UserBody,
        answers={200: serializers.UserAnswer, 201: serializers.UserAnswer},
        refusals=(409, 413, 415),
    )
    def replace(self, request: Request, externalId: str) -> Response:
        body = serializers.UserBody(data=request.data)
        body.is_valid(raise_exception=True)
        with transaction.atomic():
            user, is_new = services.put_user(_checked(externalId), body.validated_data)
            actor = Actor.of(request)
            audit_trail.record("put", AuditRecord.Kind.USER, user.pk, actor=actor, now=timezone.now())
        return Response(serializers.UserAnswer({"user": user}).data, status=201 if is_new else 200)

    @_described("get_user", "A customer", answers={200: serializers.UserAnswer}, refusals=(404, 409))
    def retrieve(self, request: Request, externalId: str) -> Response:
        return Response(serializers.UserAnswer({"user": find_customer(externalId)}).data)

    @_described(
        "erase_user",
        "Erase a customer with all its data",
        answers={200: serializers.ErasedAnswer},
        refusals=(404, 409),
    )
    def erase(self, request: Request, externalId: str) -> Response:
        erased = erasure.erase(find_customer(externalId), timezone.now(), Actor.of(request))
        return Response({"erased": erased})


_POSTS: Final[dict[str, Any]] = {
    "answers": {200: serializers.PostedAnswer, 201: serializers.PostedAnswer},
    "refusals": (404, 409, 413, 415),
}
"""What a call that posts to the ledger may answer."""


class ProvisionedOrderViewSet(ViewSet):
    permission_classes = [CanProvision]
    required_permissions = {
        "replace": ("orders.add_order", "orders.change_order"),
        "retrieve": ("orders.view_order",),
        **dict.fromkeys(
            ("top_up", "refund", "adjust", "renew", "suspend", "resume", "expire"), ("orders.change_order",)
        ),
    }
    throttle_classes = [ProvisioningThrottle]

    @_described(
        "put_order",
        "Create or change an order",
        body=serializers.OrderBody,
        answers={200: serializers.OrderAnswer, 201: serializers.OrderAnswer},
        refusals=(409, 413, 415),
    )
    def replace(self, request: Request, externalId: str) -> Response:
        now = timezone.now()
        body = serializers.OrderBody(data=request.data)
        body.is_valid(raise_exception=True)
        author, actor = caller(request).username, Actor.of(request)
        put = services.put_order(_checked(externalId), body.validated_data, actor=actor, author=author, now=now)
        response = _order(put.order, now, status=201 if put.is_new else 200)
        if put.passwords:
            response.data["passwords"] = put.passwords
        return response

    @_described("get_order", "An order and its account", answers={200: serializers.OrderAnswer}, refusals=(404,))
    def retrieve(self, request: Request, externalId: str) -> Response:
        return _order(services.find_order(externalId), timezone.now())

    @_described(
        "top_up",
        "Add to this period's limit",
        body=serializers.CreditBody,
        **_POSTS,
    )
    def top_up(self, request: Request, externalId: str) -> Response:
        return self._credit(request, externalId, LedgerReason.TOP_UP, serializers.CreditBody)

    @_described(
        "refund",
        "Give back traffic",
        body=serializers.CreditBody,
        **_POSTS,
    )
    def refund(self, request: Request, externalId: str) -> Response:
        return self._credit(request, externalId, LedgerReason.REFUND, serializers.CreditBody)

    @_described(
        "adjust",
        "Correct this period's limit either way",
        body=serializers.AdjustmentBody,
        **_POSTS,
    )
    def adjust(self, request: Request, externalId: str) -> Response:
        return self._credit(request, externalId, LedgerReason.ADJUSTMENT, serializers.AdjustmentBody)

    @_described(
        "renew",
        "Begin a new period now",
        body=serializers.RenewalBody,
        **_POSTS,
    )
    def renew(self, request: Request, externalId: str) -> Response:
        now = timezone.now()
        order = services.find_order(externalId)
        body = serializers.RenewalBody(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        with transaction.atomic():
            entry, is_new = order_services.renew(
                order,
                reference=given["reference"],
                amount=given["bytes"],
                expires_at=given["expiresAt"],
                note=given["note"],
                author=caller(request).username,
                now=now,
            )
            _record(request, "renew", order, now)
        return _posted(entry, order, now, is_new)

    @_described("suspend", "Stop it for now", answers={200: serializers.OrderAnswer}, refusals=(404,))
    def suspend(self, request: Request, externalId: str) -> Response:
        return self._switch(request, externalId, "suspend", order_services.suspend)

    @_described("resume", "Resume an order", answers={200: serializers.OrderAnswer}, refusals=(404, 409))
    def resume(self, request: Request, externalId: str) -> Response:
        return self._switch(request, externalId, "resume", order_services.resume)

    @_described("expire", "End it now", answers={200: serializers.OrderAnswer}, refusals=(404,))
    def expire(self, request: Request, externalId: str) -> Response:
        return self._switch(request, externalId, "expire", order_services.expire)

    def _switch(
        self, request: Request, external_id: str, action: str, switch: Callable[[Order, datetime], Order]
    ) -> Response:
        now = timezone.now()
        with transaction.atomic():
            order = switch(services.find_order(external_id), now)
            _record(request, action, order, now)
        return _order(order, now)

    def _credit(
        self, request: Request, external_id: str, reason: LedgerReason, serializer: type[serializers.CreditBody]
    ) -> Response:
        now = timezone.now()
        order = services.find_order(external_id)
        body = serializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        with transaction.atomic():
            entry, is_new = order_services.credit(
                order,
                reason,
                given["bytes"],
                reference=given["reference"],
                note=given["note"],
                author=caller(request).username,
                now=now,
            )
            _record(request, reason.value, order, now)
        return _posted(entry, order, now, is_new)


class FeedViewSet(ViewSet):
    permission_classes = [CanFollowCutOff]
    required_permissions = {"list": ("orders.view_order",)}
    throttle_classes = [ProvisioningThrottle]
    csv_columns = columns_of(serializers.ChangeSerializer)
    csv_name = "exhausted"

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_exhausted",
        summary="Orders to stop or to accept again",
        parameters=[serializers.FeedParams],
        responses={200: serializers.FeedAnswer, **problems(400, 401, 403, 429, 503)},
    )
    def list(self, request: Request) -> Response:
        """Orders that were exhausted, expired, suspended or reactivated since the cursor, in order."""
        given = serializers.FeedParams.read(request.query_params)
        changes = enforcement.changes_since(given["since"], given["limit"] + 1)
        shown = changes[: given["limit"]]
        cursor = shown[-1].number if shown else given["since"]
        answer = {"changes": shown, "cursor": str(cursor), "hasMore": len(changes) > len(shown)}
        return Response(serializers.FeedAnswer(answer).data)


def _record(request: Request, action: str, order: Order, now: datetime) -> None:
    audit_trail.record(action, AuditRecord.Kind.ORDER, order.pk, actor=Actor.of(request), now=now)


def _order(order: Order, now: datetime, status: int = 200) -> Response:
    return Response({"order": _fresh(order, now)}, status=status)


def _posted(entry: LedgerEntry, order: Order, now: datetime, is_new: bool) -> Response:
    posted = serializers.EntrySerializer(entry).data
    return Response({"entry": posted, "order": _fresh(order, now)}, status=201 if is_new else 200)


def _fresh(order: Order, now: datetime) -> dict[str, Any]:
    current = Order.objects.select_related("user", "product").get(pk=order.pk)
    return dict(serializers.ProvisionedOrderSerializer(services.described(current, now)).data)
