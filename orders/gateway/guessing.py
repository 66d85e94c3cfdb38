"""Counts wrong passwords per login and client address, so that a guesser blocks only themselves.

The counts are in the cache. A /64 counts as one IPv6 address.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from django.core.cache import cache

from fonproxy import counters

MAX_FAILURES: Final = 10
WINDOW_SECONDS: Final = 60

Address = IPv4Address | IPv6Address | None


def is_blocked(login: str, client: Address) -> bool:
    """Whether the client has used up its wrong guesses for this login within the window."""
    failures: int = cache.get(_key(login, client), 0)
    return failures >= MAX_FAILURES


def count_failure(login: str, client: Address) -> None:
    counters.count(_key(login, client), WINDOW_SECONDS)


def _key(login: str, client: Address) -> str:
    place = ip_network((client, 64), strict=False) if isinstance(client, IPv6Address) else client
    return "sign-in-failures:" + hashlib.sha256(f"{place} {login}".encode()).hexdigest()
