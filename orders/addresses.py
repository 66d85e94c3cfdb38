"""Networks of client addresses that a proxy user may sign in from."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from fonproxy import addresses

MAX_NETWORKS: Final = 100


class InvalidNetwork(ValueError):
    pass


def normalized(texts: Iterable[str]) -> list[str]:
    """The addresses and networks as distinct networks in canonical form, sorted; raises InvalidNetwork.

    Host bits are dropped: ``192.0.2.7/24`` is ``192.0.2.0/24``; a single address is a network of one.
    """
    networks = {str(_network(text)) for text in texts}
    if len(networks) > MAX_NETWORKS:
        raise InvalidNetwork(f"At most {MAX_NETWORKS} networks are allowed.")
    return sorted(networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InvalidNetwork("Must be IP addresses or networks, such as 192.0.2.7 or 2001:db8::/48.") from None
    if isinstance(network, IPv6Network) and network.network_address.scope_id:
        raise InvalidNetwork("An address must not have a zone.")
    return network


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """The client's address; None for any other text."""
    try:
        return addresses.parse(text)
    except ValueError:
        return None


def is_allowed(networks: Iterable[str], address: IPv4Address | IPv6Address | None) -> bool:
    """Whether the address is in one of the networks, or there are none; an unknown address is in no network."""
    allowed = list(networks)
    return not allowed or (address is not None and any(address in ip_network(network) for network in allowed))
