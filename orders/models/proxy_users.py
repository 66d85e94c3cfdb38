"""Logins at the gateways, and deleted logins that gateways may still know."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from fonproxy import ids
from orders.limits import Limits
from orders.models.fields import limit_field, without_control_characters
from orders.models.orders import Order


class ProxyUser(models.Model):
    """A login at the gateways; its traffic counts for its order.

    ``number`` increases with every change of the login, in commit order, in one sequence with the numbers of
    ``CutOff``. A login changes through ``orders.proxy_users`` only.
    """

    login = models.CharField(max_length=255, unique=True, validators=[without_control_characters])
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="proxy_users")
    verifier = models.CharField(
        max_length=128, blank=True, editable=False, help_text="bcrypt hash of the password; empty without a password."
    )
    allowed_ips = models.JSONField(
        "allowed addresses", default=list, blank=True, help_text="Networks of clients; none means any."
    )
    max_connections = models.PositiveIntegerField(
        "maximum connections", null=True, blank=True, help_text="Running at once; empty means any number."
    )
    day_limit_bytes = limit_field("daily limit")
    month_limit_bytes = limit_field("monthly limit")
    total_limit_bytes = limit_field("limit in total")
    stopped_until = models.DateTimeField(
        null=True, editable=False, help_text="The end of the reached limit; the year 9999 for a total limit."
    )
    stop_number = models.BigIntegerField(
        null=True, unique=True, editable=False, help_text="The number of its last stop or release in the feeds."
    )
    stop_changed_at = models.DateTimeField(null=True, editable=False)
    limits_due_at = models.DateTimeField(
        null=True, editable=False, help_text="The next check of its limits; empty without limits."
    )
    last_put = models.JSONField(
        default=dict, editable=False, help_text="Settings of the last PUT: a repeat of it changes nothing."
    )
    number = models.BigIntegerField(null=True, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["limits_due_at"], condition=Q(limits_due_at__isnull=False), name="proxy_user_limits_due"
            ),
            models.Index(fields=["order"], condition=Q(limits_due_at__isnull=False), name="proxy_user_limited"),
            models.Index(fields=["stopped_until"], condition=Q(stopped_until__isnull=False), name="proxy_user_stopped"),
        ]

    def __str__(self) -> str:
        return self.login

    @property
    def limits(self) -> Limits:
        return Limits(self.day_limit_bytes, self.month_limit_bytes, self.total_limit_bytes)

    @property
    def published_id(self) -> str:
        return ids.encode("proxy_user", self.pk)

    @property
    def has_password(self) -> bool:
        return self.verifier != ""

    def is_stopped(self, now: datetime) -> bool:
        """Whether one of its own limits is reached."""
        return self.stopped_until is not None and self.stopped_until > now


class RemovedLogin(models.Model):
    """A deleted login, kept as long as a gateway may still know it."""

    login = models.CharField(max_length=255, primary_key=True)
    number = models.BigIntegerField(unique=True)
    removed_at = models.DateTimeField()

    class Meta:
        db_table = "removed_logins"

    def __str__(self) -> str:
        return self.login
