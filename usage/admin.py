"""Alerts, firings and deliveries for staff."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts.audit import AuditedAdmin
from accounts.delivery_admin import BaseDeliveryInline, DeliveryStateFilter, MessageAdmin
from accounts.service_form import ServiceForm
from fonproxy import webhooks
from fonproxy.mail_addresses import validate_address
from orders.admin.customers import CustomerFilter, OfCustomerMixin
from usage.alerts import chat
from usage.alerts import services as alerts
from usage.alerts.explanation import explain
from usage.alerts.forms import LinesField
from usage.alerts.services import MAX_RECIPIENTS
from usage.models import MAX_THRESHOLD, Alert, AlertKind, Delivery, Firing


class AlertAdminForm(ServiceForm[Alert]):
    """Creates and changes an alert through the service that customers use."""

    recipients = LinesField(
        required=False, help_text=gettext_lazy("Addresses beside the customer's own, one on each line.")
    )

    chat = forms.CharField(
        required=False,
        widget=forms.TextInput({"size": 80, "autocomplete": "off"}),
        help_text=gettext_lazy("For chats: the webhook, or tgram://token/chat. Stored encrypted; empty: as before."),
    )

    class Meta:
        model = Alert
        fields = ("order", "kind", "threshold", "method", "recipients", "webhook_url")

    def apply(self, author: str, now: datetime) -> Alert:
        given = self.cleaned_data
        if self.instance.pk is None:
            return alerts.create(
                given["order"],
                given["threshold"],
                given["method"],
                kind=given["kind"],
                recipients=given["recipients"],
                webhook_url=given["webhook_url"],
                chat_target=given["chat"],
                now=now,
            )
        changes = {name: given[name] for name in ("threshold", "recipients", "webhook_url")}
        return alerts.change(self.instance, changes | ({"chat": given["chat"]} if given["chat"] else {}), now)

    def clean(self) -> dict[str, Any]:
        """Checks what depends on other fields before the alert is tried."""
        given = self.cleaned_data
        kind = given.get("kind", self.instance.kind)
        method = given.get("method", self.instance.method)
        most = MAX_THRESHOLD[AlertKind(kind)]
        if given.get("threshold", 1) > most:
            self.add_error("threshold", f"Ensure this value is less than or equal to {most}.")
        is_new = self.instance.pk is None
        if method == Alert.Method.WEBHOOK and not given.get("webhook_url") and "webhook_url" not in self.errors:
            self.add_error("webhook_url", "Required for webhook alerts.")
        if method in chat.SERVICES and (given["chat"] or is_new):
            try:
                chat.check(method, given["chat"])
            except chat.BadTarget as fault:
                self.add_error("chat", str(fault))
        return super().clean()

    def clean_webhook_url(self) -> str:
        url: str = self.cleaned_data["webhook_url"]
        try:
            if url:
                webhooks.check_url(url)
        except webhooks.BadUrl as fault:
            raise forms.ValidationError(str(fault)) from None
        return url

    def clean_recipients(self) -> list[str]:
        recipients: list[str] = self.cleaned_data["recipients"]
        if len(recipients) > MAX_RECIPIENTS:
            raise forms.ValidationError(f"Must be at most {MAX_RECIPIENTS} addresses.")
        for address in recipients:
            validate_address(address)
        return recipients


@admin.register(Alert)
class AlertAdmin(OfCustomerMixin, AuditedAdmin):
    form = AlertAdminForm
    list_display = ("order", "user", "condition", "method", "state", "last_fired_at", "created_at")
    list_filter = (CustomerFilter, "kind", "method", "is_armed")
    list_select_related = ("order__user",)
    search_fields = ("order__name", "order__external_id", "order__user__username", "webhook_url", "masked_chat")
    autocomplete_fields = ("order",)
    readonly_fields = ("masked_chat", "state", "why", "last_fired_at")
    fields = ("order", "kind", "threshold", "method", "recipients", "webhook_url", "chat", *readonly_fields)
    ordering = ("-pk",)
    deleted_along = (Firing,)

    def get_readonly_fields(self, request: HttpRequest, obj: Alert | None = None) -> Any:
        return self.readonly_fields if obj is None else ("order", "kind", "method", *self.readonly_fields)

    @admin.display
    def state(self, alert: Alert) -> str:
        return "armed" if alert.is_armed else "fired"

    @admin.display(description="why")
    def why(self, alert: Alert) -> str:
        return explain(alert, timezone.now()) if alert.pk else ""

    def save_model(self, request: HttpRequest, obj: Alert, form: Any, change: bool) -> None:
        obj.pk = form.apply(request.user.get_username(), timezone.now()).pk
        obj.refresh_from_db()


class DeliveryInline(BaseDeliveryInline):
    model = Delivery
    fields = readonly_fields = ("target", "attempts", "next_attempt_at", "delivered_at", "gave_up_at", "last_error")


@admin.register(Firing)
class FiringAdmin(MessageAdmin):
    list_display = ("fired_at", "alert", "delivered", "last_error", "percent", "error_percent")
    csv_columns = ("fired_at", "alert", "condition", "percent", "error_percent", "delivered", "last_error")
    list_filter = (DeliveryStateFilter, "fired_at", "kind")
    list_select_related = ("alert",)
    search_fields = ("id", "alert__order__name", "alert__order__user__username", "deliveries__target")
    inlines = (DeliveryInline,)
    send_permission = "usage.change_firing"
