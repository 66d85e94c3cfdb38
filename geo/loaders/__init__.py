"""The loader of raw counts for each proxy type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.conf import settings

from geo.loaders.base import Loader
from geo.loaders.provider import DummyProvider, HttpProvider, ResidentialGeoCountLoader
from geo.loaders.static_ips import IpCountLoader
from geo.models import StaticType
from orders.models import ProxyType

DEFAULT_SERVICES: Final[Mapping[str, str]] = {
    **dict.fromkeys((ProxyType.RESIDENTIAL_GIGA, ProxyType.MOBILE_GIGA, ProxyType.DATACENTER_GIGA), "provider-api"),
    **dict.fromkeys(StaticType.values, "geoip"),
}


def loaders() -> dict[str, Loader]:
    """The loader of each proxy type that has one; types with a provider have one if its URL is set."""
    found: dict[str, Loader] = {}
    for proxy_type, url in (
        (ProxyType.RESIDENTIAL_GIGA, settings.GEO_RESIDENTIAL_URL),
        (ProxyType.MOBILE_GIGA, settings.GEO_MOBILE_URL),
        (ProxyType.DATACENTER_GIGA, settings.GEO_DATACENTER_URL),
    ):
        if url:
            found[proxy_type] = ResidentialGeoCountLoader(HttpProvider(url, settings.GEO_PROVIDER_TOKEN))
    if settings.GEO_DUMMY:
        found.setdefault(ProxyType.RESIDENTIAL_GIGA, ResidentialGeoCountLoader(DummyProvider()))
    return found | {kind: IpCountLoader(kind) for kind in StaticType.values}
