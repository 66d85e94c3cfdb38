"""The customer's alerts: list, new alert, changes, firings, and test messages."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView
from rest_framework.serializers import Serializer

from accounts.models import Role
from dashboard.forms import BodyForm, FormPage, show_once
from dashboard.pages import MAX_CHOICES, CustomerPage
from fonproxy.api.errors import Conflict
from fonproxy.units import GIB
from orders import selectors
from usage.alerts import evaluation, services, test_delivery
from usage.alerts.forms import LinesField
from usage.ids import ALERT, alert_id, find_subscription, subscription_id
from usage.models import Alert, AlertKind
from usage.weproxies.alerts import AlertBody, AlertChange, changes, fixed

PER_PAGE: Final = 50
FIRINGS_PER_PAGE: Final = 20


class ThresholdField(forms.DecimalField):
    """A threshold; thresholds in bytes are entered in gigabytes."""

    def __init__(self) -> None:
        help_text = _("In percent, gigabytes or days, depending on the type.")
        super().__init__(label=_("Threshold"), max_digits=16, decimal_places=3, help_text=help_text)


def _threshold_given(kind: str, entered: Decimal) -> int:
    """The threshold in the unit of the API."""
    return int(entered * GIB) if kind == AlertKind.BYTES_LEFT else int(entered)


KINDS: Final = [
    (AlertKind.USAGE_PERCENT, AlertKind.USAGE_PERCENT.label),
    (AlertKind.BYTES_LEFT, _("Traffic left, in GB")),
    (AlertKind.EXPIRES_IN, AlertKind.EXPIRES_IN.label),
    (AlertKind.ERROR_RATE, _("Failed requests of the last 15 minutes, in %")),
    (AlertKind.LOGIN_PERCENT, AlertKind.LOGIN_PERCENT.label),
]


def _recipients() -> LinesField:
    return LinesField(
        label=_("Additional recipients"),
        required=False,
        help_text=_("For e-mail: one address per line, up to ten. The account's address always gets the alert."),
    )


def _webhook_url() -> forms.CharField:
    return forms.CharField(
        label=_("Webhook URL"),
        required=False,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text=_("For a webhook: receives a signed POST request."),
    )


def _target() -> forms.CharField:
    return forms.CharField(
        label=_("Chat"),
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_(
            "For Slack, Discord and Microsoft Teams: the URL of an incoming webhook. "
            "For Telegram: tgram://bot token/chat number. It is stored encrypted and not shown again."
        ),
    )


class NewAlertForm(BodyForm):
    subscription_id = forms.ChoiceField(label=_("Subscription"))
    kind = forms.ChoiceField(label=_("Type"), choices=KINDS)
    threshold = ThresholdField()
    notification_method = forms.ChoiceField(label=_("Channel"), choices=Alert.Method.choices, widget=forms.RadioSelect)
    recipients = _recipients()
    webhook_url = _webhook_url()
    target = _target()

    def __init__(self, choices: list[tuple[str, str]], data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, initial={"notification_method": Alert.Method.EMAIL, "threshold": 80}, **kwargs)
        field = self.fields["subscription_id"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        given = {name: value for name, value in cleaned.items() if value not in ("", [])}
        return AlertBody(data={**given, "threshold": _threshold_given(given["kind"], given["threshold"])}, context={})


class AlertForm(BodyForm):
    """The changeable fields of an alert."""

    threshold = ThresholdField()

    def __init__(self, alert: Alert, data: Any = None) -> None:
        self.alert = alert
        is_size = alert.kind == AlertKind.BYTES_LEFT
        super().__init__(
            data,
            initial={
                "threshold": f"{alert.threshold / GIB:.3f}".rstrip("0").rstrip(".") if is_size else alert.threshold,
                "recipients": alert.recipients,
                "webhook_url": alert.webhook_url,
            },
        )
        self.fields["threshold"].help_text = dict(KINDS)[AlertKind(alert.kind)]
        match alert.method:
            case Alert.Method.EMAIL:
                self.fields["recipients"] = _recipients()
            case Alert.Method.WEBHOOK:
                self.fields["webhook_url"] = _webhook_url()
            case _:
                self.fields["target"] = _target()
                self.fields["target"].help_text = _("Empty: as before.")

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        given = {name: value for name, value in cleaned.items() if (name, value) != ("target", "")}
        given["threshold"] = _threshold_given(self.alert.kind, given["threshold"])
        return AlertChange(data=given, context=fixed(self.alert))


class AlertsPage(CustomerPage, TemplateView):
    template_name = "dashboard/alerts.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        alerts = services.alerts_of(self.customer.pk).select_related("order__user")
        page = Paginator(alerts, PER_PAGE).get_page(self.request.GET.get("page"))
        rows = [(alert, alert_id(alert.pk)) for alert in page]
        return super().get_context_data(page=page, rows=rows, **kwargs)


class NewAlertPage(FormPage):
    template_name = "dashboard/new_alert.html"
    read_role = Role.MANAGER

    def form(self, data: Any = None) -> BodyForm:
        orders = selectors.orders_of(self.customer.pk)[:MAX_CHOICES]
        return NewAlertForm([(subscription_id(order.pk), order.name) for order in orders], data)

    def save(self, form: BodyForm) -> HttpResponseBase:
        given = form.given
        now = timezone.now()
        with transaction.atomic():
            alert = services.create(
                find_subscription(self.customer.pk, given["subscription_id"]),
                given["threshold"],
                given["notification_method"],
                kind=given["kind"],
                recipients=given.get("recipients", ()),
                webhook_url=given.get("webhook_url", ""),
                chat_target=given.get("target", ""),
                now=now,
            )
            self.record("alert created", now)
        page = reverse("alert", args=[alert_id(alert.pk)])
        if alert.method == Alert.Method.WEBHOOK:
            lead = _("Your receiver verifies the calls with this secret, as described by Standard Webhooks.")
            secrets = [(_("Webhook secret"), f"whsec_{alert.webhook_secret}")]
            return show_once(self.request, gettext("Alert created"), lead, secrets, page)
        messages.success(self.request, gettext("Alert created."))
        return redirect(page)


class AlertPage(FormPage):
    """One alert: its recipients, its firings, and a form to change it."""

    template_name = "dashboard/alert.html"

    def alert(self) -> Alert:
        return services.find_alert(self.customer.pk, self.kwargs["id"], ALERT)

    def form(self, data: Any = None) -> BodyForm:
        return AlertForm(self.alert(), data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        alert = self.alert()
        firings = alert.firings.prefetch_related("deliveries").order_by("-fired_at", "-arming")
        return super().get_context_data(
            alert=alert,
            targets=evaluation.targets_of(alert),
            tests=alert.tests.order_by("pk"),
            page=Paginator(firings, FIRINGS_PER_PAGE).get_page(self.request.GET.get("page")),
            **kwargs,
        )

    def save(self, form: BodyForm) -> HttpResponseBase:
        now = timezone.now()
        with transaction.atomic():
            services.change(self.alert(), changes(form.given), now)
            self.record("alert changed", now)
        messages.success(self.request, gettext("Alert saved."))
        return redirect("alert", id=self.kwargs["id"])


class SendTestPage(CustomerPage):
    """Queues a test; the alert's page shows the outcome."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        alert = services.find_alert(self.customer.pk, id, ALERT)
        throttle = test_delivery.DeliveryTestThrottle()
        if throttle.allow_request(request, self):  # type: ignore[arg-type]  # reads the user alone
            try:
                test_delivery.request(alert, timezone.now())
            except Conflict as refusal:
                messages.warning(request, str(refusal.detail))
        else:
            minutes = math.ceil((throttle.wait() or 60) / 60)
            message = gettext("You can send five tests an hour. Try again in %s minutes.")
            messages.warning(request, message % minutes)
        return redirect("alert", id=id)


class DeleteAlertPage(CustomerPage, TemplateView):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/confirm.html"
    read_role = Role.MANAGER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        alert = services.find_alert(self.customer.pk, kwargs["id"], ALERT)
        named = {"condition": alert.condition, "name": alert.order.name}
        return super().get_context_data(
            heading=gettext("Delete the alert “%(condition)s” of %(name)s?") % named,
            lead=_("Pending notifications are cancelled and the history is deleted."),
            button=_("Delete alert"),
            back=reverse("alert", args=[kwargs["id"]]),
            **kwargs,
        )

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        alert = services.find_alert(self.customer.pk, id, ALERT)
        with transaction.atomic():
            alert.delete()
            self.record("alert deleted", timezone.now())
        messages.success(request, gettext("Alert deleted."))
        return redirect("alerts")
