"""The ledger, and the mismatches that its reconciliation corrected."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from fonproxy import ids
from orders.models.orders import Order


class LedgerReason(models.TextChoices):
    USAGE = "usage"
    TOP_UP = "top_up"
    SERVICE_PURCHASE = "service_purchase"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"


class LedgerEntry(models.Model):
    """One line of an order's ledger: negative for the usage of a day, positive for credits.

    The sum over an order is the remainder of its limit. Only the usage line of a day is ever updated; the database
    refuses to change or delete any other line, except while the customer is being erased.
    """

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="ledger")
    reason = models.CharField(max_length=16, choices=LedgerReason.choices)
    bytes = models.BigIntegerField()
    requests = models.BigIntegerField(default=0)
    period_date = models.DateField(help_text="The day of the usage or of the posting, in UTC.")
    usage_day = models.DateField(null=True, editable=False, help_text="The same for usage: one line a day.")
    period_number = models.PositiveIntegerField(
        null=True, editable=False, help_text="The order's period whose limit this changes, if any."
    )
    closes_period = models.BooleanField(
        default=False, editable=False, help_text="Withdraws the remainder at the end of a period; changes no limit."
    )
    adjustment_number = models.PositiveIntegerField(
        null=True, editable=False, help_text="Numbers the order's credits and adjustments after its purchase."
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
        indexes = [
            # An index-only scan covers balances and recent usage of all orders.
            models.Index(fields=["order", "usage_day", "bytes"], name="ledger_balance"),
            models.Index(fields=["reference"], condition=Q(reference__isnull=False), name="ledger_reference"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["order", "usage_day"], name="ledger_one_usage_line_a_day"),
            models.UniqueConstraint(fields=["order", "reference"], name="ledger_reference_once"),
            models.CheckConstraint(
                condition=(
                    Q(reason=LedgerReason.USAGE, usage_day=models.F("period_date"), bytes__lte=0, requests__gte=0)
                    | (~Q(reason=LedgerReason.USAGE) & Q(usage_day=None, requests=0))
                ),
                name="ledger_usage_is_negative",
            ),
            models.CheckConstraint(
                condition=Q(reason__in=[LedgerReason.USAGE, LedgerReason.ADJUSTMENT]) | Q(bytes__gte=0),
                name="ledger_credits_are_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.bytes:+,} bytes, {self.period_date}"


class LedgerMismatch(models.Model):
    """A difference that the nightly reconciliation found and corrected."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="+")
    day = models.DateField(null=True, help_text="The usage line's day; empty for the order's limit.")
    recorded = models.BigIntegerField(help_text="Bytes in the ledger, or in the order's limit, before the correction.")
    measured = models.BigIntegerField(help_text="Bytes in the traffic tables, or by the ledger's credits.")
    found_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_mismatches"
        verbose_name_plural = "ledger mismatches"
        ordering = ["-found_at", "-pk"]

    def __str__(self) -> str:
        order = ids.encode("order", self.order_id)
        return f"{order} {self.day or 'limit'}: {self.recorded} recorded, {self.measured} measured"
