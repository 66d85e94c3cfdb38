"""Counts of static IPs."""

from __future__ import annotations

from django.db.models import Count

from geo.loaders.base import Counts
from geo.models import StaticIp

SERVICES = ("geoip", "maxmind")


class IpCountLoader:
    """Counts available addresses, by pool and the country that each geo service assigns, in one query.

    An address without a country at a service is not counted under that service.
    """

    def __init__(self, proxy_type: str) -> None:
        self._proxy_type = proxy_type

    def load(self) -> Counts:
        """See ``Loader.load``."""
        available = StaticIp.objects.filter(is_available=True, proxy_type=self._proxy_type)
        groups = available.order_by().values_list("pool", "geoip_country", "maxmind_country").annotate(Count("pk"))
        counts: Counts = {}
        for pool, *countries, number in groups:
            services = counts.setdefault(pool, {service: {} for service in SERVICES})
            for service, country in zip(SERVICES, countries, strict=True):
                if country:
                    services[service][country] = services[service].get(country, 0) + number
        return counts
