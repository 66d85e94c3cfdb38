"""The part of ``bench.geo`` that runs in a process with Django."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from time import perf_counter

from django.db import connection, transaction
from django.utils import timezone

from fonproxy.countries import CODES
from geo import revisions
from geo.loaders.static_ips import IpCountLoader
from geo.models import CountSnapshot, Revision, StaticType
from orders.models import ProxyType


def fill_counts(countries: int) -> None:
    """Counts for every type, three pools and two services; claimed, so that no loader replaces them."""
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
    """Without model instances, which would take most of the time for a million."""
    countries, types = sorted(CODES), StaticType.values
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    rows = (
        (
            f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
            types[n % 3],
            ("default", "gold", "silver")[n % 7 % 3],
            countries[n * 7 % len(countries)],
            countries[n * 7 % len(countries) if n % 20 else n % len(countries)],
            True,
            now,
        )
        for n in range(number)
    )
    columns = "address, proxy_type, pool, geoip_country, maxmind_country, is_available, updated_at"
    with transaction.atomic(), connection.cursor() as cursor:
        while chunk := list(islice(rows, 20_000)):
            cursor.executemany(f"INSERT INTO static_ips ({columns}) VALUES (%s, %s, %s, %s, %s, %s, %s)", chunk)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def seconds_to_count() -> tuple[int, float]:
    """Countries found and seconds taken, for all static types."""
    began = perf_counter()
    loaded = [IpCountLoader(kind).load() for kind in StaticType.values]
    return sum(len(c) for counts in loaded for pool in counts.values() for c in pool.values()), perf_counter() - began
