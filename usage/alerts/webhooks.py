"""Calls a webhook once, signed as the Standard Webhooks convention has it.

The receiver's address is looked up once, checked, and called at that very address: what its name resolves to a moment
later does not matter. Redirects are not followed, since they could lead anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec
from django.conf import settings

from fonproxy.deadline import hanging_up_at
from fonproxy.timerange import EPOCH, UTC_ZONE
from usage.models import Firing
from usage.periods import stamp
from usage.v1.ids import alert_id, subscription_id

DEADLINE_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 4.0
LONGEST_URL: Final = 500
PORTS: Final = {"http": 80, "https": 443}
RESOLVE_SECONDS: Final = 3.0
# What is global, but none of the internet's: everything outside of what is given to hosts, addresses that carry another
# one inside them, documentation, and what clouds reach their own machines by.
UNICAST: Final = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2002::/16", "3fff::/20")))
NOT_PUBLIC_4: Final = tuple(map(ipaddress.IPv4Network, ("192.88.99.0/24", "168.63.129.16/32")))


class BadUrl(ValueError):
    """A webhook that is not called; the text is a sentence for whoever made it."""


class Refused(Exception):
    """The receiver did not take it; the text says why."""


def check_url(text: str) -> None:
    """Raises BadUrl for what is no web address, or one that belongs to a private network as far as is known now."""
    url = _split(text)
    with suppress(OSError):  # a name that nobody knows yet
        _address_of(url)


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise BadUrl("Is no web address.") from None
    if len(text) > LONGEST_URL or not text.isascii() or any(c <= " " or c == "\x7f" for c in text):
        raise BadUrl(f"Must be at most {LONGEST_URL} printable ASCII characters without spaces.")
    if url.scheme not in PORTS or not url.hostname or port == 0:
        raise BadUrl("Must begin with https:// or http:// and a host.")
    if "%" in url.hostname:
        raise BadUrl("Must name a host that everybody knows.")
    if url.username is not None or url.password is not None:
        raise BadUrl("Must not hold a user name or password.")
    return url


def _address_of(url: SplitResult) -> tuple[str, int]:
    """The address to call, and the port. Raises BadUrl when any of the host's is private, OSError for no host."""
    assert url.hostname is not None
    port = url.port or PORTS[url.scheme]
    addresses = _resolved(url.hostname, port)
    if not settings.WEBHOOKS_TO_PRIVATE_ADDRESSES and not all(map(_is_public, addresses)):
        raise BadUrl("Belongs to a private network.")
    return addresses[0], port


def _resolved(host: str, port: int) -> list[str]:
    """The host's addresses; raises OSError, TimeoutError among them: a name server may take its time."""
    found: list[str] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    asking = threading.Thread(target=ask, name="webhook-address", daemon=True)
    asking.start()
    asking.join(RESOLVE_SECONDS)
    if asking.is_alive():
        raise TimeoutError("its name server does not answer")
    if not found:
        raise OSError("nobody knows the host")
    return found


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in UNICAST and not any(address in network for network in NOT_PUBLIC_6)
    return not any(address in network for network in NOT_PUBLIC_4)


def body_of(firing: Firing, *, is_test: bool = False) -> bytes:
    alert = firing.alert
    return msgspec.json.encode(
        {
            "type": "usage.test" if is_test else "usage.threshold_reached",
            "id": str(firing.id),
            "timestamp": stamp(firing.fired_at, UTC_ZONE),
            "data": {
                "alert_id": alert_id(alert.pk),
                "subscription_id": subscription_id(alert.order_id),
                "subscription_name": alert.order.name,
                "threshold_percent": firing.threshold_percent,
                "used_percent": firing.percent,
                "used_bytes": firing.used_bytes,
                "limit_bytes": firing.limit_bytes,
                "projected_exhaustion_at": stamp(firing.runs_out_at, UTC_ZONE) if firing.runs_out_at else None,
            },
        }
    )


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over id, timestamp and body, with a secret in base64."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(base64.b64decode(secret), signed, hashlib.sha256)).decode()


def call(firing: Firing, target: str, now: datetime, *, is_test: bool = False) -> None:
    """Tells this webhook. Raises Refused, with whatever kept it from being told."""
    body, at = body_of(firing, is_test=is_test), int((now - EPOCH).total_seconds())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "fonproxy",
        "Webhook-Id": str(firing.id),
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": signature(firing.alert.webhook_secret, str(firing.id), at, body),
    }
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        status = _post(_split(target), body, headers, deadline)
    except BadUrl as fault:
        raise Refused(str(fault)) from None
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= deadline
        raise Refused("Took too long to answer." if late else f"Cannot be reached: {_in_words(error)}.") from None
    if not 200 <= status < 300:
        raise Refused(f"Answered {status}." + (" Redirects are not followed." if 300 <= status < 400 else ""))


def _in_words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]


def _post(url: SplitResult, body: bytes, headers: dict[str, str], deadline: float) -> int:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    assert url.hostname is not None
    connection = kind(url.hostname, url.port)
    with ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection(_address_of(url), CONNECT_SECONDS))
        sock.settimeout(DEADLINE_SECONDS)
        # A second handle on the connection, since TLS takes the first one over.
        stack.enter_context(hanging_up_at(deadline, stack.enter_context(sock.dup())))
        if url.scheme == "https":
            sock = stack.enter_context(ssl.create_default_context().wrap_socket(sock, server_hostname=url.hostname))
        connection.sock = sock
        stack.callback(connection.close)
        connection.request("POST", (url.path or "/") + (f"?{url.query}" if url.query else ""), body, headers)
        status = connection.getresponse().status
    if time.monotonic() >= deadline:
        raise TimeoutError  # we hung up: what was read may be only a part
    return status
