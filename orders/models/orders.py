"""Orders: status, expiry, limits and periods."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from fonproxy import ids
from fonproxy.changes import differs
from fonproxy.timerange import FIRST_YEAR, LAST_YEAR, InvalidTime, parse_zone
from orders.limits import Limits
from orders.models.fields import limit_field
from orders.models.products import Product
from orders.periods import Every, RecurringPeriod


def validate_zone(name: str) -> None:
    try:
        parse_zone(name)
    except InvalidTime as fault:
        raise ValidationError(str(fault)) from None


class OrderStatus(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"


def has_expired(now: datetime, order: str = "") -> Q:
    """A condition for orders that have expired at that instant; ``order`` is the lookup prefix, such as ``order__``."""
    return Q((f"{order}expires_at__lte", now))


def is_suspended(now: datetime) -> Q:
    """A condition for orders that are suspended at that instant, including expired ones."""
    return Q(suspended_at__lte=now)


def has_limit(order: str = "") -> Q:
    """A condition for orders with a positive limit in the current period; ``order`` as in :func:`has_expired`."""
    return Q((f"{order}traffic_limit_bytes__gt", -models.F(f"{order}added_bytes")))


class OrderQuerySet(models.QuerySet["Order"]):
    def locked(self, *, skip_locked: bool = False) -> Self:
        """The orders, locked until the transaction ends, without joined rows and without their keys.

        Samples of a gateway lock logins, and at their commit PostgreSQL checks the foreign key to the order. A lock
        that includes the key would block that check, and deadlock with a transaction that locks the order before its
        logins.
        """
        return self.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)


class Order(models.Model):
    """A product that one customer bought.

    Deleting the customer is refused, not cascaded: traffic in ClickHouse refers to orders for ever. The status is
    computed from the columns, so it cannot disagree with them. Limit and period change only through
    ``orders.services``, in one transaction with the ledger entry that records the reason.
    """

    external_id = models.CharField(
        max_length=128, null=True, blank=True, unique=True, help_text="The id under which a billing system knows it."
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="orders")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="orders")
    name = models.CharField(max_length=100)
    traffic_limit_bytes = models.BigIntegerField(
        null=True, blank=True, help_text="Bytes bought for each period; empty means unmetered."
    )
    added_bytes = models.BigIntegerField(
        default=0, editable=False, help_text="Bytes added to this period's limit by top-ups, refunds and adjustments."
    )
    used_before_period = models.BigIntegerField(
        default=0, editable=False, help_text="Bytes used before this period began, which do not count against it."
    )
    period_number = models.PositiveIntegerField(default=1, editable=False)
    period_started_at = models.DateTimeField(default=timezone.now, editable=False)
    period_closed_at = models.DateTimeField(
        null=True, editable=False, help_text="When the remainder of the expired order was withdrawn."
    )
    day_limit_bytes = limit_field(
        "daily limit", "Bytes both ways of an order without a traffic limit; reached, it is stopped until its day ends."
    )
    stopped_until = models.DateTimeField(
        null=True, editable=False, help_text="The end of the day whose limit is reached."
    )
    limits_due_at = models.DateTimeField(
        null=True, editable=False, help_text="The next check of its daily limit; empty without one."
    )
    period_every = models.CharField(
        "renews every",
        max_length=8,
        choices=Every.choices,
        blank=True,
        default="",
        db_default="",
        help_text="Empty: it does not renew automatically.",
    )
    period_anchor = models.DateField(
        "renews from",
        null=True,
        blank=True,
        validators=[MinValueValidator(date(FIRST_YEAR, 1, 1)), MaxValueValidator(date(LAST_YEAR, 12, 31))],
        help_text="A day on which a period begins; the others follow from it.",
    )
    period_timezone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        db_default="UTC",
        blank=True,
        validators=[validate_zone],
        help_text="In which its days begin; empty: UTC.",
    )
    period_rollover = models.BooleanField(
        "rollover", default=False, db_default=False, help_text="Automatic renewals keep the remainder."
    )
    renews_at = models.DateTimeField(
        null=True, editable=False, help_text="Its next automatic renewal, unless it has expired by then."
    )
    last_put = models.JSONField(
        default=dict, editable=False, help_text="Fields of the last PUT: a repeat of it changes nothing."
    )
    started_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(
        null=True, editable=False, help_text="When something other than its usage last changed; empty: never."
    )

    objects = OrderQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], name="order_expires_at"),
            models.Index(fields=["started_at"], name="order_started_at"),
            models.Index(fields=["renews_at"], condition=Q(renews_at__isnull=False), name="order_renews_at"),
            models.Index(fields=["limits_due_at"], condition=Q(limits_due_at__isnull=False), name="order_limits_due"),
            models.Index(fields=["stopped_until"], condition=Q(stopped_until__isnull=False), name="order_stopped"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(period_every="") | Q(period_anchor__isnull=False),
                name="order_period_has_an_anchor",
                violation_error_message="An order that renews by itself needs the day from which it does.",
            ),
            models.CheckConstraint(
                condition=Q(renews_at=None) | ~Q(period_every=""), name="order_without_period_is_not_due"
            ),
            models.CheckConstraint(
                condition=Q(traffic_limit_bytes__isnull=True) | Q(traffic_limit_bytes__gte=0),
                name="order_traffic_limit_not_negative",
                violation_error_message="The traffic limit must not be negative.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.published_id})"

    def clean(self) -> None:
        if self.traffic_limit_bytes is not None and self.day_limit_bytes is not None:
            raise ValidationError({"day_limit_bytes": "Only an order without a traffic limit has a daily one."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Maintains ``updated_at``, except for ``used_before_period``, which imported usage changes."""
        fields = kwargs.get("update_fields") or [field.attname for field in self._meta.concrete_fields]
        if not self._state.adding and differs(self, set(fields) - {"used_before_period", "last_put", "updated_at"}):
            self.updated_at = timezone.now()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*fields, "updated_at"}
        super().save(*args, **kwargs)

    @property
    def published_id(self) -> str:
        return ids.encode("order", self.pk)

    @property
    def period(self) -> RecurringPeriod | None:
        """The recurring period; None if the order does not renew automatically."""
        if not self.period_every or self.period_anchor is None:
            return None
        return RecurringPeriod(Every(self.period_every), self.period_anchor, self.period_timezone, self.period_rollover)

    @period.setter
    def period(self, period: RecurringPeriod | None) -> None:
        self.period_every = period.every if period else ""
        if period:
            self.period_anchor, self.period_timezone = period.anchor, period.timezone
            self.period_rollover = period.rollover

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its days and months."""
        return ZoneInfo(self.period_timezone)

    @property
    def limits(self) -> Limits:
        """The order's own limits; an order with a traffic limit has no daily one."""
        return Limits(self.day_limit_bytes if self.traffic_limit_bytes is None else None)

    @property
    def next_renewal(self) -> datetime | None:
        """When the order next renews automatically; None if it has expired by then."""
        return None if self.renews_at is None or self.has_expired(self.renews_at) else self.renews_at

    @property
    def limit_bytes(self) -> int | None:
        """The limit of the current period with all credits; None when the order is not metered."""
        return None if self.traffic_limit_bytes is None else self.traffic_limit_bytes + self.added_bytes

    @property
    def has_limit(self) -> bool:
        """The same as :func:`has_limit`, for this order."""
        return (self.limit_bytes or 0) > 0

    def has_expired(self, now: datetime) -> bool:
        """The same as :func:`has_expired`, for this order."""
        return self.expires_at is not None and self.expires_at <= now

    def status(self, now: datetime) -> OrderStatus:
        """The status at that instant; an expired order is expired even if it was suspended."""
        if self.has_expired(now):
            return OrderStatus.EXPIRED
        if self.suspended_at is not None and self.suspended_at <= now:
            return OrderStatus.SUSPENDED
        return OrderStatus.ACTIVE

    def is_stopped(self, now: datetime) -> bool:
        """Whether the order is stopped by its daily limit."""
        return self.stopped_until is not None and self.stopped_until > now
