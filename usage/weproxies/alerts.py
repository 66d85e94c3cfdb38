"""The alert routes of WeProxies' usage API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from rest_framework import serializers as drf
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import caller, record_change
from fonproxy import webhooks
from fonproxy.api.docs import shape
from fonproxy.api.params import BoundedListField, StrictIntegerField, TextField, WebhookUrlField
from fonproxy.api.renderers import columns_of
from fonproxy.mail_addresses import validate_address
from fonproxy.timerange import UTC_ZONE
from usage.alerts import chat, services
from usage.ids import ALERT, alert_id, find_subscription, subscription_id
from usage.models import MAX_THRESHOLD, Alert, AlertKind
from usage.periods import stamp
from usage.weproxies.serializers import envelope
from usage.weproxies.views import described, success

TARGET_FIELDS: Final = {Alert.Method.EMAIL: "recipients", Alert.Method.WEBHOOK: "webhook_url"}
_UNITS: Final = (
    "per cent (`usage_percent` up to 1000, `error_rate` and `login_percent` up to 100), bytes (`bytes_left`) or days"
    " (`expires_in`)."
)


class PercentField(StrictIntegerField):
    """Also ``80.0``, as clients write it that hold a percentage as a floating-point number."""

    def to_internal_value(self, data: Any) -> int:
        is_whole = isinstance(data, float) and data.is_integer()
        return super().to_internal_value(int(data) if is_whole else data)


class AlertChange(drf.Serializer[Any]):
    threshold_percent = PercentField(min_value=1, max_value=100, required=False)
    threshold = StrictIntegerField(
        min_value=1, max_value=max(MAX_THRESHOLD.values()), required=False, help_text="With a `kind`: " + _UNITS
    )
    recipients = BoundedListField(
        child=TextField(max_length=254, validators=[validate_address]),
        max_length=services.MAX_RECIPIENTS,
        required=False,
        help_text="E-mail addresses in addition to the customer's own.",
    )
    webhook_url = WebhookUrlField(required=False)
    target = TextField(
        max_length=webhooks.MAX_URL_LENGTH,
        required=False,
        help_text="The webhook of Slack, Discord or Microsoft Teams, or `tgram://<bot token>/<chat>`.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Turns ``threshold_percent`` into ``threshold``."""
        for name, fixed in self.context.items():
            if self.initial_data.get(name, fixed) != fixed:
                raise drf.ValidationError({name: ["Cannot be changed. Create another alert instead."]})
        self._check_threshold(attrs, attrs.get("kind") or self.context.get("kind", AlertKind.USAGE_PERCENT))
        method = attrs.get("notification_method") or self.context["notification_method"]
        allowed = TARGET_FIELDS.get(method, "target")
        for stray in ("recipients", "webhook_url", "target"):
            if stray in attrs and stray != allowed:
                raise drf.ValidationError({stray: [f"Not allowed for {method} alerts."]})
        if "target" in attrs:
            try:
                chat.check(method, attrs["target"])
            except chat.BadTarget as fault:
                raise drf.ValidationError({"target": [str(fault)]}) from None
        return attrs

    def _check_threshold(self, attrs: dict[str, Any], kind: str) -> None:
        if "threshold_percent" in attrs:
            if "threshold" in attrs:
                raise drf.ValidationError({"threshold": ["Not allowed with threshold_percent."]})
            if kind != AlertKind.USAGE_PERCENT:
                raise drf.ValidationError({"threshold_percent": [f"Not allowed for the kind {kind}. Use threshold."]})
            attrs["threshold"] = attrs.pop("threshold_percent")
        most = MAX_THRESHOLD[AlertKind(kind)]
        if attrs.get("threshold", 1) > most:
            raise drf.ValidationError({"threshold": [f"Ensure this value is less than or equal to {most}."]})


class AlertBody(AlertChange):
    subscription_id = TextField(max_length=100)
    kind = drf.ChoiceField(
        choices=AlertKind.choices, required=False, help_text="With `threshold`, in place of `threshold_percent`."
    )
    notification_method = drf.ChoiceField(choices=Alert.Method.choices)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except drf.ValidationError as fault:
            errors: Any = fault.detail
            missing = _missing_threshold(data) if isinstance(data, Mapping) else {}
            raise drf.ValidationError(errors | missing) from None

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if missing := _missing_threshold(attrs):
            raise drf.ValidationError(missing)
        method = attrs["notification_method"]
        needed = TARGET_FIELDS.get(method, "target")
        if method != Alert.Method.EMAIL and needed not in attrs:
            raise drf.ValidationError({needed: [f"Required for {method} alerts."]})
        return attrs


def _missing_threshold(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """The error of an alert without a threshold, under the field that it lacks."""
    if "threshold" in given or "threshold_percent" in given:
        return {}
    return {"threshold" if "kind" in given else "threshold_percent": ["This field is required."]}


def fixed(alert: Alert) -> dict[str, Any]:
    """The unchangeable values of an alert: the context of ``AlertChange``."""
    return {
        "kind": alert.kind,
        "notification_method": alert.method,
        "subscription_id": subscription_id(alert.order_id),
    }


def changes(given: dict[str, Any]) -> dict[str, Any]:
    """A validated ``AlertChange`` as fields of the model."""
    return {"chat" if name == "target" else name: value for name, value in given.items()}


def kind_of(alert: Alert) -> dict[str, Any]:
    """The threshold in a response: a percentage up to 100 as in WeProxies' API, others with their kind."""
    if alert.kind == AlertKind.USAGE_PERCENT and alert.threshold <= 100:
        return {"threshold_percent": alert.threshold}
    return {"kind": alert.kind, "threshold": alert.threshold}


def with_secret(alert: Alert) -> dict[str, Any]:
    """A new alert with the signing secret of its webhook, which is not shown again."""
    extra: dict[str, Any] = {}
    if alert.method == Alert.Method.WEBHOOK:
        extra = {"webhook_url": alert.webhook_url, "webhook_secret": f"whsec_{alert.webhook_secret}"}
    elif alert.method != Alert.Method.EMAIL:
        extra = {"target": alert.masked_chat}
    elif alert.recipients:
        extra = {"recipients": alert.recipients}
    return {
        "id": alert_id(alert.pk),
        "subscription_id": subscription_id(alert.order_id),
        **kind_of(alert),
        "notification_method": alert.method,
        **extra,
        "created_at": stamp(alert.created_at, UTC_ZONE),
    }


def shown(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert_id(alert.pk),
        "subscription_id": subscription_id(alert.order_id),
        "kind": alert.kind,
        "threshold": alert.threshold,
        "threshold_percent": alert.threshold if alert.kind == AlertKind.USAGE_PERCENT else None,
        "notification_method": alert.method,
        "recipients": alert.recipients,
        "webhook_url": alert.webhook_url or None,
        "target": alert.masked_chat or None,
        "status": "armed" if alert.is_armed else "fired",
        "last_fired_at": stamp(alert.last_fired_at, UTC_ZONE) if alert.last_fired_at else None,
        "created_at": stamp(alert.created_at, UTC_ZONE),
    }


def _kind(**options: Any) -> dict[str, Any]:
    return {
        "kind": drf.ChoiceField(choices=AlertKind.choices, **options),
        "threshold": drf.IntegerField(help_text=_UNITS, **options),
    }


def _target(**options: Any) -> drf.CharField:
    return drf.CharField(help_text="The chat, with its token masked.", **options)


def _address(**options: Any) -> drf.CharField:
    return drf.CharField(help_text="For webhooks.", **options)


NEW: Final = envelope(
    "NewAlertAnswer",
    shape(
        "NewAlert",
        id=drf.CharField(),
        subscription_id=drf.CharField(),
        **_kind(required=False),
        threshold_percent=drf.IntegerField(
            required=False, help_text="Present instead of `kind` and `threshold` if the request used it."
        ),
        notification_method=drf.ChoiceField(choices=Alert.Method.choices),
        recipients=drf.ListField(child=drf.CharField(), required=False),
        target=_target(required=False),
        webhook_url=_address(required=False),
        webhook_secret=drf.CharField(required=False, help_text="Signs the calls; shown only here."),
        created_at=drf.DateTimeField(),
    )(),
)


def _alert() -> type[drf.Serializer[Any]]:
    return shape(
        "UsageAlert",
        id=drf.CharField(),
        subscription_id=drf.CharField(),
        **_kind(),
        threshold_percent=drf.IntegerField(allow_null=True, help_text="Null for other kinds."),
        notification_method=drf.ChoiceField(choices=Alert.Method.choices),
        recipients=drf.ListField(child=drf.CharField()),
        webhook_url=_address(allow_null=True),
        target=_target(allow_null=True),
        status=drf.ChoiceField(choices=["armed", "fired"]),
        last_fired_at=drf.DateTimeField(allow_null=True),
        created_at=drf.DateTimeField(),
    )


ALERT_SHAPE: Final = _alert()
ONE: Final = envelope("AlertAnswer", ALERT_SHAPE())
MANY: Final = envelope("AlertsAnswer", ALERT_SHAPE(many=True))


class AlertViewSet(ViewSet):
    lookup_field = "id"
    csv_columns = columns_of(ALERT_SHAPE)
    csv_name = "alerts"

    @described("alerts", MANY)
    def list(self, request: Request) -> Response:
        """The customer's alerts, newest first."""
        return success([shown(alert) for alert in services.alerts_of(caller(request).pk)])

    @described("create_alert", NEW, status=201, body=AlertBody, refusals=(404, 409, 413, 415))
    def create(self, request: Request) -> Response:
        """Create an alert, by default at a percentage of a subscription's limit."""
        body = AlertBody(data=request.data, context={})
        body.is_valid(raise_exception=True)
        given = body.validated_data
        now = timezone.now()
        with transaction.atomic():
            alert = services.create(
                find_subscription(caller(request).pk, given["subscription_id"]),
                given["threshold"],
                given["notification_method"],
                kind=given.get("kind", AlertKind.USAGE_PERCENT),
                recipients=given.get("recipients", ()),
                webhook_url=given.get("webhook_url", ""),
                chat_target=given.get("target", ""),
                now=now,
            )
            record_change("alert created", request, now)
        return success(with_secret(alert), status=201)

    @described("alert", ONE, by_id=True)
    def retrieve(self, request: Request, id: str) -> Response:
        """One alert."""
        return success(shown(services.find_alert(caller(request).pk, id, ALERT)))

    @described("change_alert", ONE, by_id=True, body=AlertChange, refusals=(409, 413, 415))
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the threshold or the recipients."""
        alert = services.find_alert(caller(request).pk, id, ALERT)
        body = AlertChange(data=request.data, context=fixed(alert))
        body.is_valid(raise_exception=True)
        now = timezone.now()
        with transaction.atomic():
            alert = services.change(alert, changes(body.validated_data), now)
            record_change("alert changed", request, now)
        return success(shown(alert))

    @described("delete_alert", None, by_id=True, status=204)
    def destroy(self, request: Request, id: str) -> Response:
        """Delete an alert."""
        alert = services.find_alert(caller(request).pk, id, ALERT)
        with transaction.atomic():
            alert.delete()
            record_change("alert deleted", request, timezone.now())
        return Response(status=204)
