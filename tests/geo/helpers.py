"""Addresses and counts to test with."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

from django.utils import timezone

from geo import multiplier_changes, refresh, services
from geo.loaders.base import Counts
from geo.models import Multiplier, StaticIp

NUMBERS = iter(range(1, 2**24))


def addresses(number: int, **fields: Any) -> None:
    """Adds this many static IPs, all alike."""
    made = (StaticIp(address=f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", **fields) for n in islice(NUMBERS, number))
    StaticIp.objects.bulk_create(made)


def loaded(now: datetime | None = None) -> None:
    refresh.refresh(now or timezone.now(), even_recent=True)


def save_multiplier(multiplier: Multiplier) -> None:
    multiplier_changes.save(multiplier, None, timezone.now())


def public_counts() -> dict[str, Counts]:
    return services.public_counts(timezone.now())
