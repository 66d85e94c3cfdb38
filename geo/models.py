"""Static IPs, multipliers, and the last counts of each loader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from fonproxy import countries
from geo.multipliers import ANY_COUNTRY, Terms
from orders.models import ProxyType

DEFAULT_POOL = "default"

is_pool = RegexValidator(r"\A[a-z0-9][a-z0-9_-]{0,31}\Z", "A pool is 1 to 32 of a-z, 0-9, - and _.")


def is_country(code: str) -> None:
    if not countries.is_country(code):
        raise ValidationError("A country is two capital letters that ISO 3166 assigns, such as GB.")


def is_country_or_any(code: str) -> None:
    if code != ANY_COUNTRY:
        is_country(code)


class StaticType(models.TextChoices):
    """Proxy types whose addresses are static IPs of the provider."""

    SERVER_STATIC = ProxyType.SERVER_STATIC.value
    PRIVATE_PROXY = ProxyType.PRIVATE_PROXY.value
    SHARED_PROXY = ProxyType.SHARED_PROXY.value


class StaticIp(models.Model):
    """An address with its country at each geo service; empty if the service does not know it.

    Rows are changed through ``geo.static_ips`` only, which also increments the revision that invalidates caches.
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
            # Columns in the order of the counting query: an index-only scan counts a million addresses.
            models.Index(
                fields=["proxy_type", "pool", "geoip_country", "maxmind_country"],
                name="static_ips_available",
                condition=Q(is_available=True),
            ),
            # Usually few of a million; staff filter by them.
            models.Index(fields=["id"], name="static_ips_unavailable", condition=Q(is_available=False)),
        ]

    def __str__(self) -> str:
        return self.address


class Multiplier(models.Model):
    """The factor between raw and public count of a country, permanent or between two times.

    Rows are changed through ``geo.multiplier_changes`` only, which refuses overlapping times and records the change.
    """

    proxy_type = models.CharField(max_length=32, choices=ProxyType.choices)
    pool = models.CharField(max_length=32, default=DEFAULT_POOL, validators=[is_pool])
    country = models.CharField(max_length=2, default=ANY_COUNTRY, validators=[is_country_or_any])
    factor = models.DecimalField(max_digits=8, decimal_places=4, validators=[MinValueValidator(Decimal(0))])
    starts_at = models.DateTimeField("start", null=True, blank=True, help_text="UTC. Empty: at once.")
    ends_at = models.DateTimeField(
        "end", null=True, blank=True, help_text="UTC; from then on it no longer applies. Empty: never."
    )

    class Meta:
        db_table = "multipliers"
        ordering = ["proxy_type", "pool", "country", "starts_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["proxy_type", "pool", "country"],
                condition=Q(starts_at=None, ends_at=None),
                name="multiplier_once",
            ),
            models.CheckConstraint(condition=Q(factor__gte=0), name="multiplier_not_negative"),
            models.CheckConstraint(
                condition=Q(starts_at=None) | Q(ends_at=None) | Q(starts_at__lt=F("ends_at")),
                name="multiplier_starts_before_its_end",
                violation_error_message="The end must be after the start.",
            ),
        ]

    def get_constraints(self) -> list[tuple[type[models.Model], Sequence[models.BaseConstraint]]]:
        """The constraints that forms validate.

        ``multiplier_changes.conflict`` names the row with which ``multiplier_once`` conflicts.
        """
        return [(Multiplier, [each for each in self._meta.constraints if each.name != "multiplier_once"])]

    def __str__(self) -> str:
        text = f"{self.proxy_type} {self.pool} {self.country} x {self.factor.normalize():f}"
        for word, at in (("from", self.starts_at), ("until", self.ends_at)):
            text += f" {word} {at.astimezone(UTC):%Y-%m-%d %H:%M}" if at else ""
        return text

    @property
    def terms(self) -> Terms:
        return Terms(self.proxy_type, self.pool, self.country, self.factor, self.starts_at, self.ends_at)


class MultiplierChange(models.Model):
    """A multiplier before and after a change, so that it can be undone; None if it did not exist."""

    at = models.DateTimeField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    undoes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="undone_by")

    class Meta:
        db_table = "multiplier_changes"
        verbose_name = "multiplier change"

    def __str__(self) -> str:
        row = self.after or self.before or {}
        return " ".join(str(row.get(name, "")) for name in ("proxy_type", "pool", "country"))


class CountSnapshot(models.Model):
    """The last counts of a proxy type's loader and its state.

    ``counts`` is ``{pool: {service: {country: count}}}``, raw. A failed load keeps them.
    """

    proxy_type = models.CharField(max_length=32, choices=ProxyType.choices, unique=True)
    counts = models.JSONField(default=dict)
    loaded_at = models.DateTimeField(null=True, help_text="When these counts were taken.")
    failed_at = models.DateTimeField(null=True, help_text="When the latest attempt failed; empty after a success.")
    last_error = models.CharField(max_length=500, blank=True)
    claimed_until = models.DateTimeField(default=timezone.now, help_text="Until then a process is loading.")

    class Meta:
        db_table = "geo_count_snapshots"

    def __str__(self) -> str:
        return self.proxy_type


class Revision(models.Model):
    """A number per subject that is incremented in the transaction of every change.

    Every process compares it with its cache, so no response is older than the last committed change.
    """

    class Subject(models.TextChoices):
        COUNTS = "counts"
        STATIC_IPS = "static_ips"

    kind = models.CharField(max_length=16, choices=Subject.choices, primary_key=True)
    number = models.BigIntegerField(default=0)

    class Meta:
        db_table = "geo_revisions"

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"
