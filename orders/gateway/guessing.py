"""Counts wrong passwords per login and client address, so that a guesser blocks only themselves.

The counts are in the cache. A /64 counts as one IPv6 address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from django.core.cache import cache

from fonproxy import counters

MAX_FAILURES: Final = 10
WINDOW_SECONDS: Final = 60

Address = IPv4Address | IPv6Address | None


def is_blocked(login: str, client: Address) -> bool:
    """Whether the client has used up its wrong guesses for this login within the window."""
    return (login, client) in blocked([(login, client)])


def blocked(guessers: Collection[tuple[str, Address]]) -> set[tuple[str, Address]]:
    """Those logins and clients that have used up their wrong guesses within the window."""
    keys = {guesser: _key(*guesser) for guesser in guessers}
    failures = cache.get_many(keys.values())
    return {guesser for guesser, key in keys.items() if failures.get(key, 0) >= MAX_FAILURES}


def count_failure(login: str, client: Address) -> None:
    counters.count(_key(login, client), WINDOW_SECONDS)


def _key(login: str, client: Address) -> str:
    place = ip_network((client, 64), strict=False) if isinstance(client, IPv6Address) else client
    return "sign-in-failures:" + hashlib.sha256(f"{place} {login}".encode()).hexdigest()
