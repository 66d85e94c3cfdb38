"""Customers, what they bought, the logins they use it with, and the keys their programs call us with."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from fonproxy import ids


class User(AbstractUser):
    """A customer, a proxy worker or a member of staff."""

    external_id = models.CharField(
        max_length=128, null=True, blank=True, unique=True, help_text="The id under which a billing system knows it."
    )

    @property
    def published_id(self) -> str:
        return ids.encode("user", self.pk)


class ProxyType(models.TextChoices):
    RESIDENTIAL_GIGA = "residential-giga"
    MOBILE_GIGA = "mobile-giga"
    DATACENTER_GIGA = "datacenter-giga"
    SERVER_STATIC = "server-static"
    PRIVATE_PROXY = "private-proxy"
    SHARED_PROXY = "shared-proxy"


class Network(models.TextChoices):
    DATACENTER = "datacenter"
    ISP = "isp", "ISP"
    RESIDENTIAL = "residential"
    MOBILE = "mobile"


class Product(models.Model):
    """Something that can be bought: the proxy type sold and the network its traffic is counted under."""

    name = models.CharField(max_length=100)
    proxy_type = models.CharField(max_length=32, choices=ProxyType.choices)
    network = models.CharField(max_length=16, choices=Network.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "proxy_type", "network"], name="product_once")]

    def __str__(self) -> str:
        return self.name


class OrderStatus(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"


class Order(models.Model):
    """A product as one customer holds it.

    The customer is protected, not cascaded: traffic in the engine points at orders for ever, so deleting a user must
    not take orders along. The status is no column: it follows from the facts, so it can never disagree with them.
    Limit and period change through ``usage.orders`` only, in one transaction with the ledger entry that says why.
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
    carried_before = models.BigIntegerField(
        default=0, editable=False, help_text="Bytes carried before this period began: they do not count against it."
    )
    period_number = models.PositiveIntegerField(default=1, editable=False)
    period_started_at = models.DateTimeField(default=timezone.now, editable=False)
    period_closed_at = models.DateTimeField(
        null=True, editable=False, help_text="When what was left of an expired order was taken back."
    )
    started_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="order_expires_at")]
        constraints = [
            models.CheckConstraint(
                condition=Q(traffic_limit_bytes__isnull=True) | Q(traffic_limit_bytes__gte=0),
                name="order_traffic_limit_not_negative",
                violation_error_message="The traffic limit must not be negative.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.published_id})"

    @property
    def published_id(self) -> str:
        return ids.encode("order", self.pk)

    @property
    def limit_bytes(self) -> int | None:
        """What may be carried in this period, with all that was added to it; None when it is not metered."""
        return None if self.traffic_limit_bytes is None else self.traffic_limit_bytes + self.added_bytes

    def status(self, now: datetime) -> OrderStatus:
        """What the order is at that instant; one that has expired is expired even if it was suspended."""
        if self.expires_at is not None and self.expires_at <= now:
            return OrderStatus.EXPIRED
        if self.suspended_at is not None and self.suspended_at <= now:
            return OrderStatus.SUSPENDED
        return OrderStatus.ACTIVE


class ProxyUser(models.Model):
    """A login at the proxies; what it carries counts for its order."""

    login = models.CharField(max_length=255, unique=True)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="proxy_users")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.login


class Scope(models.TextChoices):
    READ = "read"
    INGEST = "ingest"


class ApiKey(models.Model):
    """A program's credential. Only its hash is kept: 256 random bits and a pepper need neither salt nor a slow hash."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    pepper = models.CharField(max_length=8, db_default="", editable=False, help_text="Which pepper is in the hash.")
    can_read = models.BooleanField("read", default=True)
    can_ingest = models.BooleanField("ingest", default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_access_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=Q(can_read=True) | Q(can_ingest=True),
                name="api_key_has_a_scope",
                violation_error_message="A key needs at least one scope.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def published_id(self) -> str:
        return ids.encode("key", self.pk)

    @property
    def scopes(self) -> list[str]:
        granted = {Scope.READ: self.can_read, Scope.INGEST: self.can_ingest}
        return [scope.value for scope, has in granted.items() if has]

    def is_active(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Application(models.Model):
    """An API whose owner reports its events to us."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="applications")
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name

    @property
    def published_id(self) -> str:
        return ids.encode("application", self.pk)


class ApplicationKey(models.Model):
    """One of an application's keys; only its hash is kept. Rotated ones work until ``ends_at``."""

    class Kind(models.TextChoices):
        WRITE = "write"
        READ = "read"

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="keys")
    kind = models.CharField(max_length=5, choices=Kind.choices)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    pepper = models.CharField(max_length=8, db_default="", editable=False, help_text="Which pepper is in the hash.")
    hint = models.CharField(max_length=4, editable=False, help_text="How it begins.")
    created_at = models.DateTimeField(editable=False)
    ends_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.hint}…"
