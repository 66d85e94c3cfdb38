"""The provider's webhooks for staff: endpoints, events, and their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from accounts.admin_base import SecretsAdmin
from accounts.audit import AuditedAdmin
from accounts.delivery_admin import BaseDeliveryInline, DeliveryStateFilter, MessageAdmin
from accounts.service_form import ServiceForm
from fonproxy import webhooks as webhook_calls
from fonproxy.api.errors import Conflict
from orders import webhooks
from orders.models import TEST, EventDelivery, EventType, ProviderEvent, WebhookEndpoint


class EndpointForm(ServiceForm[WebhookEndpoint]):
    event_types = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=EventType.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Empty: all events, including types added later."),
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("url", "description", "event_types", "is_enabled")

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            webhook_calls.check_url(url)
        except webhook_calls.BadUrl as fault:
            raise forms.ValidationError(str(fault)) from None
        return url

    def apply(self, author: str, now: datetime) -> WebhookEndpoint:
        given = {name: self.cleaned_data[name] for name in self.Meta.fields if name in self.cleaned_data}
        if self.instance.pk is None:
            given.pop("is_enabled", None)
            return webhooks.create(**given, now=now)
        return webhooks.change(self.instance, given, now)


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(SecretsAdmin, AuditedAdmin):
    form = EndpointForm
    list_display = ("url", "description", "is_enabled", "failing_since", "disabled_at", "waiting")
    list_filter = ("is_enabled",)
    search_fields = ("url", "description")
    readonly_fields = ("published_id", "failing_since", "disabled_at", "created_at")
    ordering = ("pk",)
    actions = ("send_test",)
    deleted_along = (EventDelivery,)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            return ("url", "description", "event_types")
        return (*EndpointForm.Meta.fields, *self.readonly_fields)

    @admin.display(description=gettext_lazy("id"))
    def published_id(self, endpoint: WebhookEndpoint) -> str:
        return endpoint.published_id

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        found: QuerySet[WebhookEndpoint] = super().get_queryset(request)
        is_open = Q(deliveries__delivered_at=None, deliveries__gave_up_at=None)
        return found.annotate(open_deliveries=Count("deliveries", filter=is_open))

    @admin.display
    def waiting(self, endpoint: Any) -> int:
        return int(endpoint.open_deliveries)

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        saved = form.apply(request.user.get_username(), timezone.now())
        obj.pk = saved.pk
        obj.refresh_from_db()
        if not change:  # a secret stored under another secret key cannot be read
            obj.new_secrets = [("Secret", f"whsec_{saved.secret}")]  # type: ignore[attr-defined]

    @admin.action(description=gettext_lazy("Send a test event"), permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        for endpoint in queryset:
            try:
                webhooks.send_test(endpoint, timezone.now())
            except Conflict as refusal:
                self.message_user(request, f"{endpoint.url}: {refusal.detail}", messages.ERROR)
            else:
                message = format_html(
                    'A test event will be sent to {} within seconds. <a href="{}?type__exact={}">See its result.</a>',
                    *(endpoint.url, reverse("admin:orders_providerevent_changelist"), TEST),
                )
                self.message_user(request, message, messages.SUCCESS)


class EventDeliveryInline(BaseDeliveryInline):
    model = EventDelivery
    fields = readonly_fields = (
        "endpoint",
        "attempts",
        "next_attempt_at",
        "delivered_at",
        "gave_up_at",
        "last_error",
    )


@admin.register(ProviderEvent)
class ProviderEventAdmin(MessageAdmin):
    list_display = ("occurred_at", "type", "order", "customer", "delivered", "last_error")
    list_filter = (DeliveryStateFilter, "type", "occurred_at")
    search_fields = ("id", "user_number")
    inlines = (EventDeliveryInline,)
    send_permission = "orders.change_webhookendpoint"

    @admin.display
    def order(self, event: ProviderEvent) -> str:
        return str(event.data.get("externalId") or event.data.get("id", "")) if "user" in event.data else ""

    @admin.display
    def customer(self, event: ProviderEvent) -> str:
        name = "user" if "user" in event.data else "externalId"
        return str(event.data.get(name) or event.user_number)
