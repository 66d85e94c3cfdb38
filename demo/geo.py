"""Static IPs and multipliers for the demo's counts."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from geo import multiplier_changes, static_ips
from geo.models import Multiplier, StaticIp, StaticType

COUNTRIES: Final = ("US", "US", "US", "DE", "DE", "GB", "FR", "NL")
MULTIPLIERS: Final = (("residential-giga", "*", Decimal("1.15")), ("residential-giga", "US", Decimal("0.9")))


def make_counts(now: datetime) -> None:
    """Creates missing static IPs and multipliers."""
    wanted = {f"203.0.113.{n}": _address(n) for n in range(1, 255)}
    for address in StaticIp.objects.filter(address__in=wanted).values_list("address", flat=True):
        del wanted[address]
    static_ips.upsert(wanted, now)
    for proxy_type, country, factor in MULTIPLIERS:
        if not Multiplier.objects.filter(proxy_type=proxy_type, country=country).exists():
            multiplier_changes.save(Multiplier(proxy_type=proxy_type, country=country, factor=factor), None, now)


def _address(number: int) -> dict[str, str | bool]:
    country = COUNTRIES[number % len(COUNTRIES)]
    return {
        "proxy_type": StaticType.values[number % 3],
        "pool": "default",
        "geoip_country": country,
        # The services disagree about a few addresses.
        "maxmind_country": "CA" if number % 50 == 0 else country,
        "is_available": number % 10 != 0,
    }
