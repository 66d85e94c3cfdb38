"""The customer's alerts: what there is, new ones, changes, what has fired, and a test of who would be told."""

from __future__ import annotations

import math
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView
from rest_framework.serializers import Serializer

from accounts import selectors
from fonproxy.api.errors import Conflict, TooBusy
from usage.alerts import evaluation, services, trials
from usage.dashboard.forms import BodyForm, FormPage, show_once
from usage.dashboard.pages import MOST_CHOICES, CustomerPage
from usage.models import Alert
from usage.v1.alerts import AlertBody, AlertChange
from usage.v1.ids import ALERT, alert_id, find_subscription, subscription_id

PER_PAGE: Final = 50
FIRINGS_PER_PAGE: Final = 20


class LinesField(forms.CharField):
    """One text a line."""

    widget = forms.Textarea(attrs={"rows": 3})

    def clean(self, value: Any) -> Any:
        text: str = super().clean(value)
        return [line.strip() for line in text.splitlines() if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


def _threshold() -> forms.IntegerField:
    return forms.IntegerField(label=_("Tell at"), help_text=_("Per cent of the period's traffic."))


def _recipients() -> LinesField:
    return LinesField(
        label=_("Addresses beside your own"), required=False, help_text=_("For e-mail: one a line, at most ten.")
    )


def _webhook_url() -> forms.CharField:
    return forms.CharField(
        label=_("Address of the webhook"),
        required=False,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text=_("For a webhook: called with a signed POST."),
    )


class NewAlertForm(BodyForm):
    subscription_id = forms.ChoiceField(label=_("Subscription"))
    threshold_percent = _threshold()
    notification_method = forms.ChoiceField(label=_("By"), choices=Alert.Method.choices, widget=forms.RadioSelect)
    recipients = _recipients()
    webhook_url = _webhook_url()

    def __init__(self, choices: list[tuple[str, str]], data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, initial={"notification_method": Alert.Method.EMAIL, "threshold_percent": 80}, **kwargs)
        field = self.fields["subscription_id"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return AlertBody(data={name: value for name, value in cleaned.items() if value not in ("", [])}, context={})


class AlertForm(BodyForm):
    """What can be changed of one alert."""

    threshold_percent = _threshold()

    def __init__(self, alert: Alert, data: Any = None) -> None:
        super().__init__(
            data,
            initial={
                "threshold_percent": alert.threshold_percent,
                "recipients": alert.recipients,
                "webhook_url": alert.webhook_url,
            },
        )
        if alert.method == Alert.Method.WEBHOOK:
            self.fields["webhook_url"] = _webhook_url()
        else:
            self.fields["recipients"] = _recipients()
        self.fixed = {"notification_method": alert.method, "subscription_id": subscription_id(alert.order_id)}

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return AlertChange(data=cleaned, context=self.fixed)


class AlertsPage(CustomerPage, TemplateView):
    template_name = "dashboard/alerts.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        alerts = services.alerts_of(self.customer.pk).select_related("order__user")
        page = Paginator(alerts, PER_PAGE).get_page(self.request.GET.get("page"))
        rows = [(alert, alert_id(alert.pk)) for alert in page]
        return super().get_context_data(page=page, rows=rows, **kwargs)


class NewAlertPage(FormPage):
    template_name = "dashboard/new_alert.html"

    def form(self, data: Any = None) -> BodyForm:
        orders = selectors.orders_of(self.customer.pk).filter(traffic_limit_bytes__isnull=False)[:MOST_CHOICES]
        return NewAlertForm([(subscription_id(order.pk), order.name) for order in orders], data)

    def save(self, form: BodyForm) -> HttpResponseBase:
        given = form.given
        alert = services.create(
            find_subscription(self.customer.pk, given["subscription_id"]),
            given["threshold_percent"],
            given["notification_method"],
            recipients=given.get("recipients", ()),
            webhook_url=given.get("webhook_url", ""),
            now=timezone.now(),
        )
        page = reverse("alert", args=[alert_id(alert.pk)])
        if alert.method == Alert.Method.WEBHOOK:
            lead = _("The calls are signed with this secret, as Standard Webhooks has it. Your receiver needs it.")
            secrets = [(_("Webhook secret"), f"whsec_{alert.webhook_secret}")]
            return show_once(self.request, gettext("The alert is made"), lead, secrets, page)
        messages.success(self.request, gettext("The alert is made."))
        return redirect(page)


class AlertPage(FormPage):
    """One alert: whom it tells, what it has told, and what can be changed."""

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
            page=Paginator(firings, FIRINGS_PER_PAGE).get_page(self.request.GET.get("page")),
            **kwargs,
        )

    def save(self, form: BodyForm) -> HttpResponseBase:
        services.change(self.alert(), form.given, timezone.now())
        messages.success(self.request, gettext("The alert is changed."))
        return redirect("alert", id=self.kwargs["id"])


class SendTestPage(CustomerPage):
    """Sends a test and says on the alert's page what became of it."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        alert = services.find_alert(self.customer.pk, id, ALERT)
        throttle = trials.TrialThrottle()
        if throttle.allow_request(request, self):  # type: ignore[arg-type]  # reads the user alone
            self._send(request, alert)
        else:
            minutes = math.ceil((throttle.wait() or 60) / 60)
            told = gettext("Tests can be sent five times an hour. The next one in %s minutes.")
            messages.warning(request, told % minutes)
        return redirect("alert", id=id)

    def _send(self, request: HttpRequest, alert: Alert) -> None:
        try:
            outcomes = trials.send(alert, timezone.now())
        except (Conflict, TooBusy) as refusal:
            messages.warning(request, str(refusal.detail))
            return
        for target, problem in outcomes:
            if problem:
                messages.error(
                    request,
                    gettext("The test did not arrive at %(target)s. %(problem)s")
                    % {"target": target, "problem": problem},
                )
            else:
                messages.success(request, gettext("The test was delivered to %s.") % target)


class DeleteAlertPage(CustomerPage, TemplateView):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/confirm.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        alert = services.find_alert(self.customer.pk, kwargs["id"], ALERT)
        named = {"percent": alert.threshold_percent, "name": alert.order.name}
        return super().get_context_data(
            heading=gettext("Delete the alert at %(percent)s %% of %(name)s?") % named,
            lead=_("Nobody is told any more, also not of what has fired and did not arrive yet. Its history goes too."),
            button=_("Delete it"),
            back=reverse("alert", args=[kwargs["id"]]),
            **kwargs,
        )

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        services.find_alert(self.customer.pk, id, ALERT).delete()
        messages.success(request, gettext("The alert is deleted."))
        return redirect("alerts")
