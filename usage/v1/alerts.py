"""The alert routes of the usage API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django.core.validators import validate_email
from django.utils import timezone
from rest_framework import serializers as drf
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import caller
from accounts.serializers import TextField
from fonproxy.api.docs import shape
from fonproxy.api.params import StrictIntegerField
from fonproxy.timerange import UTC_ZONE
from usage.alerts import services, webhooks
from usage.models import Alert
from usage.periods import stamp
from usage.v1.ids import ALERT, alert_id, find_subscription, subscription_id
from usage.v1.serializers import envelope
from usage.v1.views import described, success


class WebhookField(TextField):
    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            webhooks.check_url(text)
        except webhooks.BadUrl as fault:
            raise drf.ValidationError(str(fault)) from None
        return text


class AlertChange(drf.Serializer[Any]):
    threshold_percent = StrictIntegerField(min_value=1, max_value=100, required=False)
    recipients = drf.ListField(
        child=TextField(max_length=254, validators=[validate_email]),
        max_length=services.MOST_RECIPIENTS,
        required=False,
        help_text="E-mail addresses to tell beside the customer's own.",
    )
    webhook_url = WebhookField(max_length=webhooks.LONGEST_URL, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name, fixed in self.context.items():
            if self.initial_data.get(name, fixed) != fixed:
                raise drf.ValidationError({name: ["Cannot be changed: make another alert."]})
        method = attrs.get("notification_method") or self.context["notification_method"]
        stray = "recipients" if method == Alert.Method.WEBHOOK else "webhook_url"
        if stray in attrs:
            raise drf.ValidationError({stray: [f"Does not go with {method}."]})
        return attrs


class AlertBody(AlertChange):
    subscription_id = TextField(max_length=100)
    threshold_percent = StrictIntegerField(min_value=1, max_value=100)
    notification_method = drf.ChoiceField(choices=Alert.Method.choices)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if attrs["notification_method"] == Alert.Method.WEBHOOK and "webhook_url" not in attrs:
            raise drf.ValidationError({"webhook_url": ["Is required for a webhook."]})
        return attrs


def made(alert: Alert) -> dict[str, Any]:
    """A new alert; the secret that signs its webhook's calls is told this once."""
    extra: dict[str, Any] = {}
    if alert.method == Alert.Method.WEBHOOK:
        extra = {"webhook_url": alert.webhook_url, "webhook_secret": f"whsec_{alert.webhook_secret}"}
    elif alert.recipients:
        extra = {"recipients": alert.recipients}
    return {
        "id": alert_id(alert.pk),
        "subscription_id": subscription_id(alert.order_id),
        "threshold_percent": alert.threshold_percent,
        "notification_method": alert.method,
        **extra,
        "created_at": stamp(alert.created_at, UTC_ZONE),
    }


def shown(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert_id(alert.pk),
        "subscription_id": subscription_id(alert.order_id),
        "threshold_percent": alert.threshold_percent,
        "notification_method": alert.method,
        "recipients": alert.recipients,
        "webhook_url": alert.webhook_url or None,
        "status": "armed" if alert.is_armed else "fired",
        "last_fired_at": stamp(alert.last_fired_at, UTC_ZONE) if alert.last_fired_at else None,
        "created_at": stamp(alert.created_at, UTC_ZONE),
    }


def _common() -> dict[str, Any]:
    return {
        "id": drf.CharField(),
        "subscription_id": drf.CharField(),
        "threshold_percent": drf.IntegerField(),
        "notification_method": drf.ChoiceField(choices=Alert.Method.choices),
        "created_at": drf.DateTimeField(),
    }


def _address(**options: Any) -> drf.CharField:
    return drf.CharField(help_text="For webhooks.", **options)


NEW: Final = envelope(
    "NewAlertAnswer",
    shape(
        "NewAlert",
        **_common(),
        recipients=drf.ListField(child=drf.CharField(), required=False),
        webhook_url=_address(required=False),
        webhook_secret=drf.CharField(required=False, help_text="Signs the calls; told this once."),
    )(),
)


def _alert() -> type[drf.Serializer[Any]]:
    return shape(
        "UsageAlert",
        **_common(),
        recipients=drf.ListField(child=drf.CharField()),
        webhook_url=_address(allow_null=True),
        status=drf.ChoiceField(choices=["armed", "fired"]),
        last_fired_at=drf.DateTimeField(allow_null=True),
    )


ALERT_SHAPE: Final = _alert()
ONE: Final = envelope("AlertAnswer", ALERT_SHAPE())
MANY: Final = envelope("AlertsAnswer", ALERT_SHAPE(many=True))
COLUMNS: Final = (
    "id",
    "subscription_id",
    "threshold_percent",
    "notification_method",
    "recipients",
    "webhook_url",
    "status",
    "last_fired_at",
    "created_at",
)


class AlertViewSet(ViewSet):
    csv_columns: ClassVar[Sequence[str]] = COLUMNS
    csv_name = "alerts"

    @described("alerts", MANY)
    def list(self, request: Request) -> Response:
        """The customer's alerts, newest first."""
        return success([shown(alert) for alert in services.alerts_of(caller(request).pk)])

    @described("create_alert", NEW, status=201, body=AlertBody, refusals=(404, 409, 413, 415))
    def create(self, request: Request) -> Response:
        """Be told when a subscription has used so much of its limit."""
        body = AlertBody(data=request.data, context={})
        body.is_valid(raise_exception=True)
        given = body.validated_data
        alert = services.create(
            find_subscription(caller(request).pk, given["subscription_id"]),
            given["threshold_percent"],
            given["notification_method"],
            recipients=given.get("recipients", ()),
            webhook_url=given.get("webhook_url", ""),
            now=timezone.now(),
        )
        return success(made(alert), status=201)

    @described("alert", ONE, by_id=True)
    def retrieve(self, request: Request, id: str) -> Response:
        """One alert."""
        return success(shown(services.find_alert(caller(request).pk, id, ALERT)))

    @described("change_alert", ONE, by_id=True, body=AlertChange, refusals=(409, 413, 415))
    def partial_update(self, request: Request, id: str) -> Response:
        """Change its threshold, or whom it tells."""
        alert = services.find_alert(caller(request).pk, id, ALERT)
        fixed = {"notification_method": alert.method, "subscription_id": subscription_id(alert.order_id)}
        body = AlertChange(data=request.data, context=fixed)
        body.is_valid(raise_exception=True)
        return success(shown(services.change(alert, body.validated_data, timezone.now())))

    @described("delete_alert", None, by_id=True, status=204)
    def destroy(self, request: Request, id: str) -> Response:
        """Be told no more."""
        services.find_alert(caller(request).pk, id, ALERT).delete()
        return Response(status=204)
