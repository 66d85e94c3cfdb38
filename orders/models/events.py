"""Events for the systems of the provider: endpoints, events and deliveries."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import models
from django.db.models import Q

from fonproxy import ids, sealing
from fonproxy.delivery import BaseDelivery
from orders.models.orders import Order


class EventType(models.TextChoices):
    """Events that are sent to the provider's own systems."""

    EXHAUSTED = "order.exhausted", "order.exhausted"
    NEAR_LIMIT = "order.near_limit", "order.near_limit"
    EXPIRING = "order.expiring", "order.expiring"
    EXPIRED = "order.expired", "order.expired"
    SUSPENDED = "order.suspended", "order.suspended"
    RESUMED = "order.resumed", "order.resumed"
    RENEWED = "order.renewed", "order.renewed"
    TOPPED_UP = "order.topped_up", "order.topped_up"
    PROXY_USER_EXHAUSTED = "proxy_user.exhausted", "proxy_user.exhausted"
    CUSTOMER_ERASED = "customer.erased", "customer.erased"


# The type of a test event, which staff request; endpoints cannot subscribe to it or exclude it.
TEST: Final = "webhook.test"
DELIVERED_TYPES: Final = [*EventType.choices, (TEST, TEST)]


class WebhookEndpoint(models.Model):
    """A URL where a system of the provider receives events. It changes through ``orders.webhooks`` only."""

    url = models.CharField("URL", max_length=500)
    description = models.CharField(max_length=100, blank=True)
    event_types = models.JSONField(
        default=list, blank=True, help_text="Empty: all events, including types added later."
    )
    sealed_secret = models.TextField(editable=False, help_text="Signs the calls; encrypted.")
    is_enabled = models.BooleanField("enabled", default=True)
    failing_since = models.DateTimeField(null=True, editable=False, help_text="Nothing arrived since.")
    disabled_at = models.DateTimeField(
        null=True, editable=False, help_text="When it was disabled for failing too long."
    )
    is_notice_due = models.BooleanField(default=False, editable=False, help_text="Staff are to be mailed about that.")
    created_at = models.DateTimeField(editable=False)

    class Meta:
        db_table = "webhook_endpoints"

    def __str__(self) -> str:
        return self.description or self.url

    @property
    def published_id(self) -> str:
        return ids.encode("webhook", self.pk)

    @property
    def secret(self) -> str:
        """The secret in base64; raises Unreadable when the secret key has changed."""
        return sealing.unseal(self.sealed_secret)

    @secret.setter
    def secret(self, secret: str) -> None:
        self.sealed_secret = sealing.seal(secret)


class ProviderEvent(models.Model):
    """An event, written in the transaction of the change it reports. Its id is the same in every delivery."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    type = models.CharField(max_length=32, choices=EventType.choices)
    user_number = models.BigIntegerField(db_index=True, help_text="The customer's; it may be erased.")
    data = models.JSONField()
    occurred_at = models.DateTimeField()

    class Meta:
        db_table = "provider_events"
        ordering = ["-occurred_at"]
        indexes = [models.Index(fields=["occurred_at"], name="provider_event_occurred")]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class EventDelivery(BaseDelivery):
    """The delivery of an event to one endpoint."""

    event = models.ForeignKey(ProviderEvent, on_delete=models.CASCADE, related_name="deliveries")
    # No constraint: deleting an endpoint concurrently must not fail an order's transaction.
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False
    )

    class Meta:
        db_table = "event_deliveries"
        verbose_name_plural = "event deliveries"
        constraints = [models.UniqueConstraint(fields=["event", "endpoint"], name="event_once_an_endpoint")]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(delivered_at=None, gave_up_at=None), name="event_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id}"

    @property
    def published_id(self) -> str:
        return ids.encode("webhook_delivery", self.pk)


class EventMark(models.Model):
    """Marks of the events sent in advance about an order, so that each is sent once."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, primary_key=True, related_name="event_mark")
    near_limit = models.CharField(max_length=64, blank=True, help_text="Period and limit of order.near_limit.")
    expiring_at = models.DateTimeField(null=True, help_text="The end announced by the last order.expiring.")

    class Meta:
        db_table = "event_marks"

    def __str__(self) -> str:
        return str(self.order_id)
