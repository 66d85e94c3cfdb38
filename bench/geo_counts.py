"""What ``bench.geo`` has done in a process with Django."""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter

from django.db import connection
from django.utils import timezone

from fonproxy.countries import CODES
from geo import revisions
from geo.loaders.static_ips import IpCountLoader
from geo.models import CountSnapshot, Revision, StaticIp, StaticType
from orders.models import ProxyType


def fill_counts(countries: int) -> None:
    """Every type, three pools, two services; claimed, so that no loader replaces them."""
    by_country = {country: 1000 + number for number, country in enumerate(sorted(CODES)[:countries])}
    for proxy_type in ProxyType.values:
        service = "geoip" if proxy_type in StaticType.values else "provider-api"
        counts = {pool: {service: by_country, "maxmind": by_country} for pool in ("default", "gold", "silver")}
        CountSnapshot.objects.create(
            proxy_type=proxy_type,
            counts=counts,
            loaded_at=timezone.now(),
            claimed_until=timezone.now() + timedelta(days=1),
        )
    revisions.move(Revision.Subject.COUNTS)


def fill_addresses(number: int) -> None:
    countries, types = sorted(CODES), StaticType.values
    now = timezone.now()
    for start in range(0, number, 20_000):
        StaticIp.objects.bulk_create(
            StaticIp(
                address=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
                proxy_type=types[n % 3],
                pool=("default", "gold", "silver")[n % 7 % 3],
                geoip_country=countries[n * 7 % len(countries)],
                maxmind_country=countries[n * 7 % len(countries) if n % 20 else n % len(countries)],
                updated_at=now,
            )
            for n in range(start, min(start + 20_000, number))
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def seconds_to_count() -> tuple[int, float]:
    """Countries found and seconds for all static types."""
    began = perf_counter()
    loaded = [IpCountLoader(kind).load() for kind in StaticType.values]
    return sum(len(c) for counts in loaded for pool in counts.values() for c in pool.values()), perf_counter() - began
