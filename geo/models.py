"""The provider's own addresses, what each loader last counted, and how staff adjust what the public sees."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import ProxyType

ANY_COUNTRY = "*"
DEFAULT_POOL = "default"

is_pool = RegexValidator(r"\A[a-z0-9][a-z0-9_-]{0,31}\Z", "A pool is 1 to 32 of a-z, 0-9, - and _.")
is_country = RegexValidator(r"\A[A-Z]{2}\Z", "A country is two capital letters, as in ISO 3166.")
is_country_or_any = RegexValidator(r"\A([A-Z]{2}|\*)\Z", "A country is two capital letters, or * for all.")


class StaticType(models.TextChoices):
    """The proxy types whose addresses are the provider's own."""

    SERVER_STATIC = ProxyType.SERVER_STATIC.value
    PRIVATE_PROXY = ProxyType.PRIVATE_PROXY.value
    SHARED_PROXY = ProxyType.SHARED_PROXY.value


class StaticIp(models.Model):
    """One address, and the country that each geo service puts it in; a service that does not know leaves it empty.

    Rows are changed through ``geo.static_ips`` only: it also moves the revision, by which every process notices.
    """

    address = models.GenericIPAddressField(unique=True)
    proxy_type = models.CharField(max_length=32, choices=StaticType.choices)
    pool = models.CharField(max_length=32, default=DEFAULT_POOL, validators=[is_pool])
    geoip_country = models.CharField("country by geoip", max_length=2, blank=True, validators=[is_country])
    maxmind_country = models.CharField("country by maxmind", max_length=2, blank=True, validators=[is_country])
    is_available = models.BooleanField("available", default=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "static_ips"
        verbose_name = "static IP"
        indexes = [
            # Exactly what counting asks for, in its order, so that a million addresses are counted from the index.
            models.Index(
                fields=["proxy_type", "pool", "geoip_country", "maxmind_country"],
                name="static_ips_available",
                condition=Q(is_available=True),
            ),
            # Few as a rule: staff look for them among a million.
            models.Index(fields=["id"], name="static_ips_unavailable", condition=Q(is_available=False)),
        ]

    def __str__(self) -> str:
        return self.address


class Multiplier(models.Model):
    """What the raw count of a country is multiplied by before the public sees it."""

    proxy_type = models.CharField(max_length=32, choices=ProxyType.choices)
    pool = models.CharField(max_length=32, default=DEFAULT_POOL, validators=[is_pool])
    country = models.CharField(max_length=2, default=ANY_COUNTRY, validators=[is_country_or_any])
    factor = models.DecimalField(max_digits=8, decimal_places=4, validators=[MinValueValidator(Decimal(0))])

    class Meta:
        db_table = "multipliers"
        ordering = ["proxy_type", "pool", "country"]
        constraints = [
            models.UniqueConstraint(fields=["proxy_type", "pool", "country"], name="multiplier_once"),
            models.CheckConstraint(condition=Q(factor__gte=0), name="multiplier_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.proxy_type} {self.pool} {self.country} x {self.factor.normalize():f}"


class CountSnapshot(models.Model):
    """What the loader of one proxy type counted when it last succeeded, and how it has fared since.

    ``counts`` is ``{pool: {service: {country: count}}}``, raw. A failure leaves it alone.
    """

    proxy_type = models.CharField(max_length=32, choices=ProxyType.choices, unique=True)
    counts = models.JSONField(default=dict)
    loaded_at = models.DateTimeField(null=True, help_text="When these counts were taken.")
    failed_at = models.DateTimeField(null=True, help_text="When the latest attempt failed; empty after a success.")
    last_error = models.CharField(max_length=500, blank=True)
    claimed_until = models.DateTimeField(default=timezone.now, help_text="Whoever refreshes holds this until then.")

    class Meta:
        db_table = "geo_count_snapshots"

    def __str__(self) -> str:
        return self.proxy_type


class Revision(models.Model):
    """A number per kind of data that moves with every change, in the change's own transaction.

    Every process compares it with what it holds in memory, so none answers from before a change that was committed.
    """

    class Kind(models.TextChoices):
        COUNTS = "counts"
        STATIC_IPS = "static_ips"

    kind = models.CharField(max_length=16, choices=Kind.choices, primary_key=True)
    number = models.BigIntegerField(default=0)

    class Meta:
        db_table = "geo_revisions"

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"
