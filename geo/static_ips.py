"""Changes of static IPs, each together with the revision that invalidates caches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from fonproxy.addresses import canonical
from geo import revisions
from geo.models import Revision, StaticIp

FIELDS: Final = ("proxy_type", "pool", "geoip_country", "maxmind_country", "is_available")


class Upserted(NamedTuple):
    added: int
    changed: int
    unchanged: int


def save(static_ip: StaticIp) -> None:
    with transaction.atomic():
        static_ip.address = canonical(static_ip.address)
        static_ip.save()
        revisions.move(Revision.Subject.STATIC_IPS)


def delete(static_ips: QuerySet[StaticIp]) -> None:
    with transaction.atomic():
        static_ips.delete()
        revisions.move(Revision.Subject.STATIC_IPS)


def set_available(static_ips: QuerySet[StaticIp], is_available: bool, now: datetime) -> int:
    """Returns the number of addresses."""
    with transaction.atomic():
        changed = static_ips.update(is_available=is_available, updated_at=now)
        revisions.move(Revision.Subject.STATIC_IPS)
    return changed


def upsert(rows: Mapping[str, Mapping[str, Any]], now: datetime) -> Upserted:
    """Adds or updates these addresses (canonical, with all FIELDS) in one transaction."""
    with transaction.atomic():
        existing = {
            address: dict(zip(FIELDS, values, strict=True))
            for address, *values in StaticIp.objects.filter(address__in=rows).values_list("address", *FIELDS)
        }
        new = {address: row for address, row in rows.items() if existing.get(address) != row}
        if new:
            _write(new, now)
            revisions.move(Revision.Subject.STATIC_IPS)
    changed = len(existing.keys() & new.keys())
    return Upserted(len(new) - changed, changed, len(rows) - len(new))


def _write(rows: Mapping[str, Mapping[str, Any]], now: datetime) -> None:
    # Sorted, so that two imports of the same addresses do not deadlock.
    StaticIp.objects.bulk_create(
        [StaticIp(address=address, updated_at=now, **row) for address, row in sorted(rows.items())],
        update_conflicts=True,
        update_fields=[*FIELDS, "updated_at"],
        unique_fields=["address"],
    )


def countries(addresses: Iterable[str]) -> dict[str, str]:
    """The country of those addresses that are static IPs: from geoip, else from maxmind."""
    found = StaticIp.objects.filter(address__in=list(addresses))
    rows = found.values_list("address", "geoip_country", "maxmind_country")
    return {address: geoip or maxmind for address, geoip, maxmind in rows if geoip or maxmind}
