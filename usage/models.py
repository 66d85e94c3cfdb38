"""Alerts, their firings and deliveries."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext, gettext_lazy, ngettext

from accounts.models import User
from fonproxy import ids, sealing
from fonproxy.delivery import BaseDelivery
from fonproxy.units import amount
from orders.models import Order, ProxyUser


class AlertKind(models.TextChoices):
    USAGE_PERCENT = "usage_percent", gettext_lazy("Traffic used, in % of the limit")
    BYTES_LEFT = "bytes_left", gettext_lazy("Traffic left, in bytes")
    EXPIRES_IN = "expires_in", gettext_lazy("Days until the subscription ends")
    ERROR_RATE = "error_rate", gettext_lazy("Failed requests, in %")
    LOGIN_PERCENT = "login_percent", gettext_lazy("Traffic of any proxy user, in % of its own limit")


class LimitName(models.TextChoices):
    """The limits of a proxy user."""

    DAY = "day", gettext_lazy("daily limit")
    MONTH = "month", gettext_lazy("monthly limit")
    TOTAL = "total", gettext_lazy("total limit")


NEEDS_LIMIT: Final = (AlertKind.USAGE_PERCENT, AlertKind.BYTES_LEFT)
MAX_THRESHOLD: Final = {
    AlertKind.USAGE_PERCENT: 1000,
    AlertKind.BYTES_LEFT: 2**53 - 1,
    AlertKind.EXPIRES_IN: 365,
    AlertKind.ERROR_RATE: 100,
    AlertKind.LOGIN_PERCENT: 100,
}


def condition(kind: str, threshold: int) -> str:
    """The condition in a few words."""
    match AlertKind(kind):
        case AlertKind.USAGE_PERCENT:
            return f"{threshold} %"
        case AlertKind.BYTES_LEFT:
            return gettext("%s left") % amount(threshold)
        case AlertKind.EXPIRES_IN:
            return ngettext("%s day before the end", "%s days before the end", threshold) % threshold
        case AlertKind.ERROR_RATE:
            return gettext("%s %% failed requests") % threshold
        case AlertKind.LOGIN_PERCENT:
            return gettext("%s %% of a proxy user's limit") % threshold


class Alert(models.Model):
    """Fires when an order reaches a threshold, such as a percentage of its period's limit.

    ``arming`` counts firings and is part of each firing's identity. ``usage.alerts.thresholds`` has the rules.
    """

    class Method(models.TextChoices):
        EMAIL = "email", "e-mail"
        WEBHOOK = "webhook"
        SLACK = "slack", "Slack"
        DISCORD = "discord", "Discord"
        TELEGRAM = "telegram", "Telegram"
        MSTEAMS = "msteams", "Microsoft Teams"

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=16, choices=AlertKind.choices, default=AlertKind.USAGE_PERCENT)
    threshold = models.PositiveBigIntegerField(help_text="Per cent, bytes or days, by the kind.")
    method = models.CharField(max_length=16, choices=Method.choices)
    recipients = models.JSONField(default=list, blank=True, help_text="Addresses beside the customer's own.")
    webhook_url = models.CharField(max_length=500, blank=True)
    sealed_secret = models.TextField(blank=True, editable=False, help_text="Signs the webhook's calls; encrypted.")
    sealed_chat = models.TextField(blank=True, editable=False, help_text="The address of the chat; encrypted.")
    masked_chat = models.CharField(max_length=500, blank=True, editable=False, help_text="Shown in its place.")
    target = models.CharField(max_length=64, editable=False, help_text="Hash of its recipients, URL or chat.")
    is_default = models.BooleanField(
        default=False, db_default=False, editable=False, help_text="Created with its order and unchanged since."
    )
    is_armed = models.BooleanField(default=True, editable=False)
    arming = models.PositiveIntegerField(default=1, editable=False)
    fired_period = models.PositiveIntegerField(null=True, editable=False)
    last_fired_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "alerts"
        constraints = [
            models.UniqueConstraint(fields=["order", "kind", "threshold", "method", "target"], name="alert_once"),
            models.CheckConstraint(condition=Q(threshold__gte=1), name="alert_threshold_is_positive"),
        ]

    @property
    def webhook_secret(self) -> str:
        """The secret in base64; raises Unreadable when the secret key has changed."""
        return sealing.unseal(self.sealed_secret) if self.sealed_secret else ""

    @webhook_secret.setter
    def webhook_secret(self, secret: str) -> None:
        self.sealed_secret = sealing.seal(secret) if secret else ""

    @property
    def chat(self) -> str:
        """The address of the chat, with its token; raises Unreadable."""
        return sealing.unseal(self.sealed_chat) if self.sealed_chat else ""

    @chat.setter
    def chat(self, address: str) -> None:
        self.sealed_chat = sealing.seal(address) if address else ""

    @property
    def condition(self) -> str:
        return condition(self.kind, self.threshold)

    def __str__(self) -> str:
        return f"{self.condition} of order {ids.encode('order', self.order_id)} by {self.get_method_display()}"


class Firing(models.Model):
    """One firing of an alert with its figures. Every delivery carries its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="firings")
    arming = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=AlertKind.choices, default=AlertKind.USAGE_PERCENT)
    threshold = models.PositiveBigIntegerField()
    used_bytes = models.BigIntegerField(null=True)
    limit_bytes = models.BigIntegerField(null=True)
    errors = models.BigIntegerField(null=True)
    requests = models.BigIntegerField(null=True, help_text="Requests of the window that began at window_began_at.")
    window_began_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    logins = models.JSONField(
        default=list, db_default=[], help_text="Proxy users that reached the threshold, with their figures."
    )
    also_reached = models.JSONField(
        default=list,
        help_text="Lower thresholds of the order's alerts that were reached at once and share the mail.",
    )
    runs_out_at = models.DateTimeField(null=True, help_text="At the pace of the last days; empty: not by then.")
    fired_at = models.DateTimeField()

    class Meta:
        db_table = "alert_firings"
        ordering = ["-fired_at"]
        indexes = [models.Index(fields=["fired_at"], name="firing_fired_at")]
        constraints = [models.UniqueConstraint(fields=["alert", "arming"], name="alert_fires_once_an_arming")]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def percent(self) -> float | None:
        """The used percentage, rounded down so that it never shows a threshold that is not reached."""
        return (
            self.used_bytes * 1000 // self.limit_bytes / 10
            if self.used_bytes is not None and self.limit_bytes
            else None
        )

    @property
    def error_percent(self) -> float | None:
        """Like ``percent``; at most 100, although more errors than requests may be reported."""
        return (
            min(self.errors * 1000 // self.requests / 10, 100.0) if self.errors is not None and self.requests else None
        )

    @property
    def condition(self) -> str:
        return condition(self.kind, self.threshold)


class LoginMark(models.Model):
    """The last period of a proxy user's limit for which an alert has fired, so that it fires once per period."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="login_marks")
    # No constraint: deleting a login concurrently must not fail the firing.
    proxy_user = models.ForeignKey(ProxyUser, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    limit_name = models.CharField(max_length=8, choices=LimitName.choices)
    limit_bytes = models.BigIntegerField()
    began_at = models.DateTimeField()
    threshold = models.PositiveBigIntegerField()

    class Meta:
        db_table = "alert_login_marks"
        constraints = [models.UniqueConstraint(fields=["alert", "proxy_user", "limit_name"], name="login_marked_once")]

    def __str__(self) -> str:
        return f"{self.limit_name} of {self.proxy_user_id}"


class Delivery(BaseDelivery):
    """The delivery of a firing to one address or webhook."""

    firing = models.ForeignKey(Firing, on_delete=models.CASCADE, related_name="deliveries")
    target = models.CharField(max_length=500)

    class Meta:
        db_table = "alert_deliveries"
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["firing", "target"], name="delivery_once_a_target")]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(delivered_at=None, gave_up_at=None), name="delivery_waiting"
            )
        ]

    def __str__(self) -> str:
        return self.target


class AlertTest(BaseDelivery):
    """A test of an alert, to one of its targets; another test replaces it."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="tests")
    message_id = models.UUIDField()
    target = models.CharField(max_length=500)

    class Meta:
        db_table = "alert_tests"
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(delivered_at=None, gave_up_at=None), name="alert_test_waiting"
            )
        ]

    def __str__(self) -> str:
        return self.target


class Unsubscription(models.Model):
    """An address that unsubscribed from an order's alerts."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="+")
    address = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "alert_unsubscriptions"
        constraints = [models.UniqueConstraint(fields=["order", "address"], name="unsubscribed_once")]

    def __str__(self) -> str:
        return self.address


class ReportSubscription(models.Model):
    """A customer's subscription to reports by e-mail."""

    class Frequency(models.TextChoices):
        WEEK = "week", gettext_lazy("every week")
        MONTH = "month", gettext_lazy("every month")

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="report_subscription")
    every = models.CharField(max_length=8, choices=Frequency.choices)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "report_subscriptions"

    def __str__(self) -> str:
        return f"{self.user_id} every {self.every}"


class ReportDelivery(BaseDelivery):
    """A report of one period: the days from ``starts_on`` to before ``ends_on`` in the customer's time zone."""

    subscription = models.ForeignKey(ReportSubscription, on_delete=models.CASCADE, related_name="deliveries")
    starts_on = models.DateField()
    ends_on = models.DateField()

    class Meta:
        db_table = "report_deliveries"
        constraints = [
            models.UniqueConstraint(fields=["subscription", "starts_on", "ends_on"], name="report_once_a_period")
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(delivered_at=None, gave_up_at=None), name="report_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id} from {self.starts_on}"
