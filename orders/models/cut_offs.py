"""The state published to gateways, with the numbers of its changes."""

from __future__ import annotations

from django.db import models

from fonproxy import ids
from orders.models.orders import Order


class CutOff(models.Model):
    """The state of an order as last published to gateways.

    ``number`` increases with every change in commit order, so a reader that has seen number n has seen every change
    before it.
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
        verbose_name = "cut-off"
        indexes = [models.Index(fields=["state"], name="cut_off_state")]

    def __str__(self) -> str:
        return f"{ids.encode('order', self.order_id)} {self.state}"


class CutOffCounter(models.Model):
    """The last number assigned to a change of an order or login.

    Its one row is locked until the change is committed.
    """

    last = models.BigIntegerField(default=0)

    class Meta:
        db_table = "cut_off_counter"

    def __str__(self) -> str:
        return str(self.last)


class ErasedOrder(models.Model):
    """An erased order in the cut-off feed, kept until every gateway should have read it."""

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


class BlockedLogin(models.Model):
    """A login that left an order while the order was stopped: gateways may still block it."""

    login = models.CharField(max_length=255, primary_key=True)
    since = models.DateTimeField()

    class Meta:
        db_table = "blocked_logins"

    def __str__(self) -> str:
        return self.login
