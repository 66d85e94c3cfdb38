"""Where raw counts come from, by proxy type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.conf import settings

from accounts.models import ProxyType
from geo.loaders.base import Loader
from geo.loaders.provider import DummyProvider, HttpProvider, ResidentialGeoCountLoader
from geo.loaders.static_ips import IpCountLoader
from geo.models import StaticType

DEFAULT_SERVICES: Final[Mapping[str, str]] = {
    **dict.fromkeys((ProxyType.RESIDENTIAL_GIGA, ProxyType.MOBILE_GIGA, ProxyType.DATACENTER_GIGA), "provider-api"),
    **dict.fromkeys(StaticType.values, "geoip"),
}


def loaders() -> dict[str, Loader]:
    """The loader of each proxy type that has one: the mobile and datacenter types need a provider's URL."""
    token = settings.GEO_PROVIDER_TOKEN
    residential = settings.GEO_RESIDENTIAL_URL
    found: dict[str, Loader] = {
        ProxyType.RESIDENTIAL_GIGA: ResidentialGeoCountLoader(
            HttpProvider(residential, token) if residential else DummyProvider()
        )
    }
    for proxy_type, url in (
        (ProxyType.MOBILE_GIGA, settings.GEO_MOBILE_URL),
        (ProxyType.DATACENTER_GIGA, settings.GEO_DATACENTER_URL),
    ):
        if url:
            found[proxy_type] = ResidentialGeoCountLoader(HttpProvider(url, token))
    return found | {kind: IpCountLoader(kind) for kind in StaticType.values}
