"""Addresses as everybody writes them, so that they are found however they were written."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def canonical(text: str) -> str:
    """The usual spelling, IPv4 for an address mapped from it; raises ValueError for what is no address."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("It holds only within one machine.")
        return str(address.ipv4_mapped or address)
    return str(address)
