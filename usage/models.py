"""The ledger, which is the truth for bytes left; who has to stop; and who wants to be told before."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from accounts.models import Order


class Reason(models.TextChoices):
    USAGE = "usage"
    TOP_UP = "top_up"
    SERVICE_PURCHASE = "service_purchase"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"


class LedgerEntry(models.Model):
    """One line of an order's account: negative for what was carried on a day, positive for what was added.

    The sum over an order is what is left of its limit. Only the usage line of a day is ever written again; the
    database itself refuses to change or delete any other, except while the customer is being erased.
    """

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="ledger")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    bytes = models.BigIntegerField()
    requests = models.BigIntegerField(default=0)
    period_date = models.DateField(help_text="The day carried on, or on which it was added, in UTC.")
    usage_day = models.DateField(null=True, editable=False, help_text="The same for usage, so that a day has one line.")
    period_number = models.PositiveIntegerField(
        null=True, editable=False, help_text="The order's period whose limit this adds to, if it adds to one."
    )
    closes_period = models.BooleanField(
        default=False, editable=False, help_text="Takes back what was left when a period ended; no limit changes."
    )
    adjustment_number = models.PositiveIntegerField(
        null=True, editable=False, help_text="Counts what was added to or taken from the order after its purchase."
    )
    reference = models.CharField(max_length=128, null=True, blank=True, help_text="The billing system's own id for it.")
    author = models.CharField(max_length=150, blank=True)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_entries"
        verbose_name_plural = "ledger entries"
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["order", "usage_day"], name="ledger_one_usage_line_a_day"),
            models.UniqueConstraint(fields=["order", "reference"], name="ledger_reference_once"),
            models.CheckConstraint(
                condition=(
                    Q(reason=Reason.USAGE, usage_day=models.F("period_date"), bytes__lte=0, requests__gte=0)
                    | (~Q(reason=Reason.USAGE) & Q(usage_day=None, requests=0))
                ),
                name="ledger_usage_is_negative",
            ),
            models.CheckConstraint(
                condition=Q(reason__in=[Reason.USAGE, Reason.ADJUSTMENT]) | Q(bytes__gte=0),
                name="ledger_credits_are_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.bytes:+,} bytes, {self.period_date}"


class CutOff(models.Model):
    """Whether the proxies shall carry an order's traffic, as last published to them.

    ``number`` grows with every change in the order in which changes are committed, so that a reader who has seen
    number n has seen every change before it.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        EXHAUSTED = "exhausted"
        SUSPENDED = "suspended"
        EXPIRED = "expired"

    order = models.OneToOneField(Order, on_delete=models.PROTECT, primary_key=True, related_name="cut_off")
    state = models.CharField(max_length=16, choices=State.choices)
    number = models.BigIntegerField(unique=True)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "cut_offs"
        indexes = [models.Index(fields=["state"], name="cut_off_state")]

    def __str__(self) -> str:
        return f"{self.order_id} {self.state}"


class CutOffCounter(models.Model):
    """The last number given to a change. Its one row is locked until the change is committed."""

    last = models.BigIntegerField(default=0)

    class Meta:
        db_table = "cut_off_counter"

    def __str__(self) -> str:
        return str(self.last)


class Erasure(models.Model):
    """An order whose ledger may be deleted, because its customer is being erased."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, primary_key=True, related_name="+")

    class Meta:
        db_table = "erasures"

    def __str__(self) -> str:
        return str(self.order_id)


class ErasedOrder(models.Model):
    """What the cut-off feed tells of an order that is gone, for as long as a proxy may not have heard of it."""

    order_number = models.BigIntegerField(primary_key=True)
    user_number = models.BigIntegerField()
    external_id = models.CharField(max_length=128, null=True)
    logins = models.JSONField()
    number = models.BigIntegerField(unique=True)
    erased_at = models.DateTimeField()

    class Meta:
        db_table = "erased_orders"

    def __str__(self) -> str:
        return str(self.order_number)


class StoppedLogin(models.Model):
    """A proxy login that left an order while that was stopped, so that proxies may still stop it."""

    login = models.CharField(max_length=255, primary_key=True)
    since = models.DateTimeField()

    class Meta:
        db_table = "stopped_logins"

    def __str__(self) -> str:
        return self.login


class Difference(models.Model):
    """Something that a nightly comparison found to differ from the ledger, and set right."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="+")
    day = models.DateField(null=True, help_text="The usage line's day; empty for the order's limit.")
    recorded = models.BigIntegerField(help_text="Bytes as they stood in the ledger, or in the order's limit.")
    measured = models.BigIntegerField(help_text="Bytes in the traffic tables, or by the ledger's credits.")
    found_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_differences"
        ordering = ["-found_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.order_id} {self.day or 'limit'}: {self.recorded} recorded, {self.measured} measured"


class Alert(models.Model):
    """Wants to be told when an order has used so much of its period's limit.

    ``arming`` counts firings, and is part of each one's identity; an alert that has fired is armed again when the
    order falls below the threshold, or begins a new period.
    """

    class Method(models.TextChoices):
        EMAIL = "email", "e-mail"
        WEBHOOK = "webhook"

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="alerts")
    threshold_percent = models.PositiveSmallIntegerField()
    method = models.CharField(max_length=16, choices=Method.choices)
    recipients = models.JSONField(default=list, blank=True, help_text="Addresses beside the customer's own.")
    webhook_url = models.CharField(max_length=500, blank=True)
    webhook_secret = models.CharField(max_length=64, blank=True, editable=False)
    target = models.CharField(max_length=64, editable=False, help_text="Hash of whom it tells.")
    is_armed = models.BooleanField(default=True, editable=False)
    arming = models.PositiveIntegerField(default=1, editable=False)
    fired_period = models.PositiveIntegerField(null=True, editable=False)
    last_fired_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "alerts"
        constraints = [
            models.UniqueConstraint(fields=["order", "threshold_percent", "method", "target"], name="alert_once"),
            models.CheckConstraint(
                condition=Q(threshold_percent__gte=1, threshold_percent__lte=100),
                name="alert_threshold_is_a_percentage",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.threshold_percent} % of {self.order_id} by {self.method}"


class Firing(models.Model):
    """One time that an alert fired, with the figures of that moment. Its id goes with every delivery."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="firings")
    arming = models.PositiveIntegerField()
    threshold_percent = models.PositiveSmallIntegerField()
    used_bytes = models.BigIntegerField()
    limit_bytes = models.BigIntegerField()
    runs_out_at = models.DateTimeField(null=True, help_text="At the pace of the last days; empty: not at this pace.")
    fired_at = models.DateTimeField()

    class Meta:
        db_table = "alert_firings"
        ordering = ["-fired_at"]
        indexes = [models.Index(fields=["fired_at"], name="firing_fired_at")]
        constraints = [models.UniqueConstraint(fields=["alert", "arming"], name="alert_fires_once_an_arming")]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def percent(self) -> float:
        """Rounded down, so that nothing is told to be reached that is not."""
        return self.used_bytes * 1000 // self.limit_bytes / 10


class Delivery(models.Model):
    """Telling one address, or one webhook, of a firing. Whoever claims it tries it; the row says when it is next."""

    firing = models.ForeignKey(Firing, on_delete=models.CASCADE, related_name="deliveries")
    target = models.CharField(max_length=500)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, help_text="Until then somebody is trying it.")
    delivered_at = models.DateTimeField(null=True)
    gave_up_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)

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


class Unsubscription(models.Model):
    """An address that wants no more mail about an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="+")
    address = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "alert_unsubscriptions"
        constraints = [models.UniqueConstraint(fields=["order", "address"], name="unsubscribed_once")]

    def __str__(self) -> str:
        return self.address
