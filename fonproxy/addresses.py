"""The one form in which IP addresses are stored and compared."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def parse(text: str) -> IPv4Address | IPv6Address:
    """The address; an IPv4 address mapped into IPv6 becomes the IPv4 address.

    Raises ValueError for other texts, and for an address with a zone (``%eth1``), which is valid on one machine only.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("An address with a zone is valid on one machine only.")
        return address.ipv4_mapped or address
    return address


def canonical(text: str) -> str:
    """The usual spelling of the address; raises ValueError as ``parse`` does."""
    return str(parse(text))
