"""Calls a webhook once, signed according to Standard Webhooks.

The receiver's address is resolved once, checked, and called at exactly that address, so a later change in DNS does not
matter. Redirects are not followed, because they could lead anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from fonproxy.deadline import hanging_up_at
from fonproxy.timerange import EPOCH

DEADLINE_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 4.0
MAX_URL_LENGTH: Final = 500
PORTS: Final = {"http": 80, "https": 443}
RESOLVE_SECONDS: Final = 3.0
# Global addresses that are refused as well: everything but unicast, addresses that embed another one, documentation,
# and metadata services of clouds.
UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Prefixes through which an IPv6-only network reaches IPv4-only hosts (RFC 6052).
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
NOT_PUBLIC_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2002::/16", "3fff::/20")))
NOT_PUBLIC_4: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))


class BadUrl(ValueError):
    """A URL that is not allowed; the text is a message for its owner."""


class UnknownHost(OSError):
    """No name server knows the host."""


class DeliveryFailed(Exception):
    """The call failed; the text gives the reason."""


def check_url(text: str) -> None:
    """Raises BadUrl for a malformed URL, and for an address of a private network.

    A name is resolved by the job that calls it, never here, because a request would wait for it.
    """
    url = _split(text)
    assert url.hostname is not None
    try:
        found = socket.getaddrinfo(url.hostname, None, flags=socket.AI_NUMERICHOST)
    except UnicodeError:  # an empty or too long label
        raise BadUrl("Must name a public host.") from None
    except OSError:
        found = []  # a name, not an unusual spelling of an address
    _refuse_private([_address_in(info) for info in found])
    if f".{url.hostname}".endswith(".localhost"):
        _refuse_private(["127.0.0.1"])


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise BadUrl("Must be a valid URL.") from None
    if len(text) > MAX_URL_LENGTH or not text.isascii() or any(c <= " " or c == "\x7f" for c in text):
        raise BadUrl(f"Must be at most {MAX_URL_LENGTH} printable ASCII characters without spaces.")
    if url.scheme not in PORTS or not url.hostname or port == 0:
        raise BadUrl("Must begin with https:// or http:// and a host.")
    if not settings.WEBHOOKS_TO_PRIVATE_ADDRESSES and port not in (None, *settings.WEBHOOK_PORTS):
        raise BadUrl(f"Must use one of the ports {', '.join(map(str, settings.WEBHOOK_PORTS))}.")
    if "%" in url.hostname:
        raise BadUrl("Must name a public host.")
    if url.username is not None or url.password is not None:
        raise BadUrl("Must not contain a user name or password.")
    return url


def _address_of(url: SplitResult) -> tuple[str, int]:
    """The address and port to call. Raises BadUrl if any of the addresses is private, OSError for an unknown host."""
    assert url.hostname is not None
    port = url.port or PORTS[url.scheme]
    addresses = _resolved(url.hostname, port)
    _refuse_private(addresses)
    return addresses[0], port


def _refuse_private(addresses: Sequence[str]) -> None:
    if not settings.WEBHOOKS_TO_PRIVATE_ADDRESSES and not all(map(_is_public, addresses)):
        raise BadUrl("Belongs to a private network.")


def _address_in(info: tuple[Any, ...]) -> str:
    """The address in an entry returned by ``getaddrinfo``."""
    return str(info[4][0])


def _resolved(host: str, port: int) -> list[str]:
    """The host's addresses. Raises OSError, which includes TimeoutError for a slow name server."""
    found: list[str] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(map(_address_in, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))

    asking = threading.Thread(target=ask, name="webhook-address", daemon=True)
    asking.start()
    asking.join(RESOLVE_SECONDS)
    if asking.is_alive():
        raise TimeoutError
    if not found:
        raise UnknownHost
    return found


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address in NAT64:
        address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in UNICAST and not any(address in network for network in NOT_PUBLIC_6)
    return not any(address in network for network in NOT_PUBLIC_4)


def new_secret() -> str:
    """A signing secret in base64. Its owner gets it with the prefix ``whsec_``."""
    return base64.b64encode(secrets.token_bytes(24)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over id, timestamp and body, with a secret in base64."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(base64.b64decode(secret), signed, hashlib.sha256)).decode()


def send(target: str, secret: str, message_id: str, body: bytes, now: datetime) -> None:
    """Posts the signed body once; raises DeliveryFailed with the reason in FonProxy's own words."""
    at = int((now - EPOCH).total_seconds())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "fonproxy",
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": signature(secret, message_id, at, body),
    }
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        status = _post(_split(target), body, headers, deadline)
    except BadUrl as fault:
        raise DeliveryFailed(str(fault)) from None
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= deadline
        raise DeliveryFailed("No response in time." if late else _in_words(error)) from None
    if not 200 <= status < 300:
        raise DeliveryFailed(
            f"Responded with status {status}." + (" Redirects are not followed." if 300 <= status < 400 else "")
        )


def _in_words(error: Exception) -> str:
    """A text of our own: the error's text may repeat data of the receiver, which may be any service."""
    match error:
        case http.client.HTTPException():
            return "The response is not valid HTTP."
        case ssl.SSLCertVerificationError():
            return "The TLS certificate is not trusted."
        case ssl.SSLError():
            return "The TLS handshake failed."
        case TimeoutError():
            return "No response in time."
        case ConnectionRefusedError():
            return "Connection refused."
        case UnknownHost():
            return "Host not found. Check the URL."
        case _:
            return "Connection failed."


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
