"""Identifies the caller before the credential is looked up, so that one customer has one share of each lane.

The application reports which account a credential belongs to, and from then on the credential counts for that account,
with all the account's other credentials. Until then it counts for the address; otherwise inventing a credential for
each request would make each a new caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.http import parse_cookie

from fonproxy.middleware import CALLER
from fonproxy.networks import network_of

REMEMBERED_SECONDS: Final = 300.0
MAX_REMEMBERED: Final = 10_000
HEADERS: Final = (
    "HTTP_X_API_KEY",
    "HTTP_AUTHORIZATION",
    "HTTP_X_API_PRIVATE_KEY",
    "HTTP_X_AUTH_USER",
    "HTTP_X_AUTH_KEY",
)


class Caller(NamedTuple):
    """With ``is_known`` the name stands for the credential's account, otherwise for an address."""

    name: str
    is_known: bool


class Callers:
    """The accounts of credentials that the application has recently accepted, by fingerprint."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, float]] = {}

    def of(self, environ: Mapping[str, Any]) -> Caller:
        credentials = credentials_of(environ)
        name, until = self._known.get(fingerprint(credentials), ("", 0.0)) if any(credentials) else ("", 0.0)
        return Caller(name, is_known=True) if until > monotonic() else Caller(address_of(environ), is_known=False)

    def learn(self, environ: Mapping[str, Any], status: int) -> None:
        """Remembers the account that the application left in the environ; forgets a refused credential."""
        credentials = credentials_of(environ)
        if not any(credentials):
            return
        number = environ.get(CALLER)
        if number is not None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[fingerprint(credentials)] = f"account {number}", monotonic() + REMEMBERED_SECONDS
        elif status == 401:
            self._known.pop(fingerprint(credentials), None)


def credentials_of(environ: Mapping[str, Any]) -> tuple[str, ...]:
    """The credentials as sent, empty if missing; of the cookies only the session's."""
    cookie = environ.get("HTTP_COOKIE", "")
    session = parse_cookie(cookie).get(settings.SESSION_COOKIE_NAME, "") if cookie else ""
    return (*(str(environ.get(name, "")) for name in HEADERS), session)


def fingerprint(texts: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()


def address_of(environ: Mapping[str, Any]) -> str:
    """The client's address, as trusted proxies report it if there are any; for IPv6 the /64."""
    forwarded = environ.get("HTTP_X_FORWARDED_FOR") if settings.TRUSTED_PROXIES else None
    if not forwarded:
        return network_of(str(environ["REMOTE_ADDR"]))
    addresses = str(forwarded).split(",")
    return network_of(addresses[-min(settings.TRUSTED_PROXIES, len(addresses))].strip())
