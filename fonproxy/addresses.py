"""The canonical form in which IP addresses are stored and compared."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


def parse(text: str) -> Address:
    """The address; an IPv4-mapped IPv6 address becomes the IPv4 address.

    Raises ValueError for other texts, and for an address with a zone (``%eth1``), which is valid on one machine only.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("An address with a zone is valid on one machine only.")
    return _unmapped(address)


def ends_of_network(text: str) -> tuple[Address, Address]:
    """The first and last address of a network such as ``192.0.2.0/24``, ignoring host bits; raises ValueError."""
    network = ip_network(text, strict=False)
    return _unmapped(network.network_address), _unmapped(network.broadcast_address)


def _unmapped(address: Address) -> Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def canonical(text: str) -> str:
    """The canonical spelling of the address; raises ValueError like ``parse``."""
    return str(parse(text))
