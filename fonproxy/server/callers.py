"""Whose a request is, before its credential is looked up: so that one customer has one share of each lane.

The application says which account a credential belongs to, and the same credential counts for that account from then
on, whichever of its keys it is. Until then it counts for the address: otherwise a new invented credential with each
request would be a new caller each time.
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
    """``is_known``: the account of the credential is known; else the name is an address."""

    name: str
    is_known: bool


class Callers:
    """The accounts of credentials that the application has let in lately, by fingerprint."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, float]] = {}

    def of(self, environ: Mapping[str, Any]) -> Caller:
        credentials = credentials_of(environ)
        name, until = self._known.get(fingerprint(credentials), ("", 0.0)) if any(credentials) else ("", 0.0)
        return Caller(name, is_known=True) if until > monotonic() else Caller(address_of(environ), is_known=False)

    def learn(self, environ: Mapping[str, Any], status: int) -> None:
        """Notes whose the credential is, as the application left it in the environ; forgets a refused one."""
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
    """The credentials as sent, empty where there is none; of the cookies the session's alone."""
    cookie = environ.get("HTTP_COOKIE", "")
    session = parse_cookie(cookie).get(settings.SESSION_COOKIE_NAME, "") if cookie else ""
    return (*(str(environ.get(name, "")) for name in HEADERS), session)


def fingerprint(texts: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()


def address_of(environ: Mapping[str, Any]) -> str:
    """The client's address, behind trusted proxies as they say it; of IPv6 the /64."""
    forwarded = environ.get("HTTP_X_FORWARDED_FOR") if settings.TRUSTED_PROXIES else None
    if not forwarded:
        return network_of(str(environ["REMOTE_ADDR"]))
    addresses = str(forwarded).split(",")
    return network_of(addresses[-min(settings.TRUSTED_PROXIES, len(addresses))].strip())
