"""The provider's webhooks: endpoints and their deliveries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import audit_trail
from accounts.audit_trail import Actor
from accounts.models import AuditRecord
from accounts.permissions import CanProvision
from fonproxy import delivery
from fonproxy.api import cursors
from fonproxy.api.docs import problems
from fonproxy.api.params import BoundedListField, Params, TextField, WebhookUrlField, WholeNumberField
from fonproxy.api.renderers import columns_of
from fonproxy.api.throttles import ProvisioningThrottle
from orders import webhooks
from orders.models import DELIVERED_TYPES, EventDelivery, EventType, WebhookEndpoint

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
STATES: Final = tuple(delivery.STATES)
# Fields of the API mapped to fields of the model.
FIELDS: Final = {"url": "url", "description": "description", "events": "event_types", "isEnabled": "is_enabled"}


class WebhookChange(serializers.Serializer[Any]):
    url = WebhookUrlField(required=False)
    description = TextField(max_length=100, allow_blank=True, required=False)
    events = BoundedListField(
        child=serializers.ChoiceField(choices=EventType.choices),
        required=False,
        max_length=len(EventType),
        help_text="Empty: all events, including types added later.",
    )
    isEnabled = serializers.BooleanField(required=False)


class WebhookBody(WebhookChange):
    url = WebhookUrlField()
    isEnabled = None  # type: ignore[assignment]  # how Django REST framework leaves out an inherited field


class WebhookSerializer(serializers.Serializer[WebhookEndpoint]):
    id = serializers.CharField(source="published_id")
    url = serializers.CharField()
    description = serializers.CharField()
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=EventType.choices), source="event_types", help_text="Empty: all events."
    )
    isEnabled = serializers.BooleanField(source="is_enabled")
    failingSince = serializers.DateTimeField(source="failing_since", allow_null=True)
    disabledAt = serializers.DateTimeField(
        source="disabled_at", allow_null=True, help_text="When it was disabled because nothing arrived for three days."
    )
    createdAt = serializers.DateTimeField(source="created_at")


class NewWebhookSerializer(WebhookSerializer):
    secret = serializers.SerializerMethodField(help_text="Signs the calls; shown only here.")

    def get_secret(self, endpoint: WebhookEndpoint) -> str:
        return f"whsec_{endpoint.secret}"


class WebhookAnswer(serializers.Serializer[Any]):
    webhook = WebhookSerializer()


class NewWebhookAnswer(serializers.Serializer[Any]):
    webhook = NewWebhookSerializer()


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class WebhookList(serializers.Serializer[Any]):
    webhooks = WebhookSerializer(many=True)


class DeliverySerializer(serializers.Serializer[EventDelivery]):
    id = serializers.CharField(source="published_id")
    eventId = serializers.CharField(source="event_id", help_text="As in `webhook-id`, the same in every attempt.")
    type = serializers.ChoiceField(choices=DELIVERED_TYPES, source="event.type")
    occurredAt = serializers.DateTimeField(source="event.occurred_at")
    status = serializers.ChoiceField(choices=STATES, source="state")
    attempts = serializers.IntegerField()
    nextAttemptAt = serializers.DateTimeField(source="next_attempt_at", help_text="While it is waiting or failing.")
    deliveredAt = serializers.DateTimeField(source="delivered_at", allow_null=True)
    lastError = serializers.CharField(source="last_error")


class DeliveryAnswer(serializers.Serializer[Any]):
    delivery = DeliverySerializer()


@extend_schema_serializer(many=False)
class DeliveryPage(serializers.Serializer[Any]):
    deliveries = DeliverySerializer(many=True)
    nextCursor = serializers.CharField(allow_null=True, help_text="Null on the last page.")


class DeliveryParams(Params):
    status = serializers.ChoiceField(choices=STATES, required=False)
    cursor = serializers.CharField(required=False, help_text="`nextCursor` of the previous page, with the same filter.")
    limit = WholeNumberField(required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT)


def _described(
    name: str,
    summary: str,
    answers: dict[int, Any],
    *,
    body: type | None = None,
    params: type[Params] | None = None,
    refusals: tuple[int, ...] = (404,),
) -> Callable[[Any], Any]:
    return extend_schema(
        tags=["Provisioning"],
        operation_id=f"provisioning_{name}",
        summary=summary,
        request=body,
        parameters=[params] if params else [],
        responses={**answers, **problems(*sorted({400, 401, 403, 429, 503, *refusals}))},
    )


def _record(request: Request, action: str, number: int, now: datetime) -> None:
    audit_trail.record(action, AuditRecord.Kind.WEBHOOK, number, actor=Actor.of(request), now=now)


class WebhookViewSet(ViewSet):
    lookup_field = "id"
    permission_classes = [CanProvision]
    throttle_classes = [ProvisioningThrottle]
    required_permissions = {
        "list": ("orders.view_webhookendpoint",),
        "create": ("orders.add_webhookendpoint",),
        "retrieve": ("orders.view_webhookendpoint",),
        "partial_update": ("orders.change_webhookendpoint",),
        "destroy": ("orders.delete_webhookendpoint",),
        "test": ("orders.change_webhookendpoint",),
    }
    csv_columns = columns_of(WebhookSerializer)
    csv_name = "webhooks"

    @_described("list_webhooks", "Webhooks of your own systems", {200: WebhookList}, refusals=())
    def list(self, request: Request) -> Response:
        return Response(WebhookList({"webhooks": WebhookEndpoint.objects.order_by("pk")}).data)

    @_described("create_webhook", "Make a webhook", {201: NewWebhookAnswer}, body=WebhookBody, refusals=(409, 413, 415))
    def create(self, request: Request) -> Response:
        """Only this response contains the secret."""
        now = timezone.now()
        given = _validated(WebhookBody, request)
        with transaction.atomic():
            endpoint = webhooks.create(
                url=given["url"],
                description=given.get("description", ""),
                event_types=given.get("event_types", []),
                now=now,
            )
            _record(request, "webhook made", endpoint.pk, now)
        data = NewWebhookAnswer({"webhook": endpoint}).data
        return Response(data, status=201, headers={"Cache-Control": "no-store"})

    @_described("get_webhook", "A webhook", {200: WebhookAnswer})
    def retrieve(self, request: Request, id: str) -> Response:
        return Response(WebhookAnswer({"webhook": webhooks.find(id)}).data)

    @_described(
        "change_webhook", "Change a webhook", {200: WebhookAnswer}, body=WebhookChange, refusals=(404, 413, 415)
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """After a change of the URL, or when the webhook is enabled again, waiting deliveries are sent at once."""
        now = timezone.now()
        endpoint = webhooks.find(id)
        given = _validated(WebhookChange, request)
        with transaction.atomic():
            endpoint = webhooks.change(endpoint, given, now)
            _record(request, "webhook changed", endpoint.pk, now)
        return Response(WebhookAnswer({"webhook": endpoint}).data)

    @_described("delete_webhook", "Delete a webhook and its deliveries", {204: None})
    def destroy(self, request: Request, id: str) -> Response:
        endpoint = webhooks.find(id)
        with transaction.atomic():
            _record(request, "webhook deleted", endpoint.pk, timezone.now())
            endpoint.delete()
        return Response(status=204)

    @_described("test_webhook", "Send a test event", {202: DeliveryAnswer}, refusals=(404, 409))
    def test(self, request: Request, id: str) -> Response:
        """Sends an event of type `webhook.test` within seconds, without retries. Its deliveries show the outcome."""
        now = timezone.now()
        endpoint = webhooks.find(id)
        with transaction.atomic():
            delivery = webhooks.send_test(endpoint, now)
            _record(request, "webhook tested", endpoint.pk, now)
        return Response(DeliveryAnswer({"delivery": delivery}).data, status=202)


def _validated(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return {FIELDS[name]: value for name, value in body.validated_data.items()}


class EventDeliveryViewSet(ViewSet):
    permission_classes = [CanProvision]
    throttle_classes = [ProvisioningThrottle]
    required_permissions = {
        "list": ("orders.view_webhookendpoint",),
        "resend": ("orders.change_webhookendpoint",),
    }
    csv_columns = columns_of(DeliverySerializer)
    csv_name = "deliveries"

    @_described(
        "list_webhook_deliveries", "Deliveries to a webhook, newest first", {200: DeliveryPage}, params=DeliveryParams
    )
    def list(self, request: Request, id: str) -> Response:
        """One page of the last 30 days. In CSV, the header `Link` has the next page."""
        endpoint = webhooks.find(id)
        given = DeliveryParams.read(request.query_params)
        found = endpoint.deliveries.select_related("event").order_by("-pk")
        if status := given.get("status"):
            found = found.filter(delivery.STATES[status])
        filters = [id, status]
        if "cursor" in given:
            found = found.filter(pk__lt=cursors.decode(given["cursor"], "deliveries", filters))
        rows = list(found[: given["limit"] + 1])
        shown = rows[: given["limit"]]
        cursor = cursors.encode("deliveries", filters, shown[-1].pk) if len(rows) > len(shown) else None
        headers = {"Link": cursors.link_to_next(request, cursor)} if cursor else {}
        return Response(DeliveryPage({"deliveries": shown, "nextCursor": cursor}).data, headers=headers)

    @_described("resend_webhook_delivery", "Send an event again", {200: DeliveryAnswer})
    def resend(self, request: Request, id: str, deliveryId: str) -> Response:
        """Sends it again within seconds, under the same id, once the webhook is enabled."""
        now = timezone.now()
        endpoint = webhooks.find(id)
        found = webhooks.find_delivery(endpoint, deliveryId)
        with transaction.atomic():
            delivery.send_again(endpoint.deliveries.filter(pk=found.pk), now)
            _record(request, "webhook resent", endpoint.pk, now)
        return Response(DeliveryAnswer({"delivery": webhooks.find_delivery(endpoint, deliveryId)}).data)
