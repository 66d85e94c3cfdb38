"""One request served by a proxy, independent of the log format, and the reasons why a line cannot be read."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

# The rest of a longer line is not read, because Squid can append headers of any size.
MAX_LINE: Final = 2**18
MAX_TEXT: Final = 255
MAX_AMOUNT: Final = 2**44
MAX_SECOND: Final = 253_402_300_799  # the last second of the year 9999


class LineError(StrEnum):
    """Why a line could not be read; completes the sentence "The line …"."""

    EMPTY = "is empty"
    TRUNCATED = "is cut off"
    FORMAT = "is not in the expected format"
    NUMBER = "holds a size or time that is negative or too large"


class Ignored(NamedTuple):
    """A line that is known not to be a request."""


class Request(NamedTuple):
    """One request. Empty are ``login`` without sign-in, ``domain`` if the target names no host, ``error`` on success,
    and ``client`` if the log does not have the client's address.

    Times are in milliseconds, ``end_ms`` since the epoch. Bytes are named from the customer's side, as FonProxy does:
    ``bytes_sent`` came from the customer, ``bytes_received`` went to the customer.

    ``shorter_logins`` are other readings of a login with spaces, where the log leaves it open. With
    ``is_failed_sign_in`` the login is only what the client claimed. With ``is_refused`` the proxy did not serve the
    request: what moved was its own error page, which nobody pays for, and the bytes are 0.
    """

    end_ms: int
    duration_ms: int
    login: str
    domain: str
    error: str
    bytes_sent: int
    bytes_received: int
    method: str
    status: int
    client: str
    shorter_logins: tuple[str, ...] = ()
    is_failed_sign_in: bool = False
    is_refused: bool = False


def canonical_ip(text: str) -> str:
    """The canonical form of an address, IPv4 for an IPv4-mapped one; empty for other text and for zoned addresses."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    return "" if address.scope_id else str(address.ipv4_mapped or address)


def amount(text: str, maximum: int) -> int | None:
    """The number in a text of ASCII digits; None for any other text and above the maximum."""
    # The length is checked first, because Python refuses to convert numbers of thousands of digits.
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 15 and int(text) <= maximum else None


def text_of(raw: bytes) -> str:
    """The text decoded as UTF-8, else as Latin-1, which older clients send."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def without_cut_line(text: str) -> tuple[str, ...]:
    """The readings of a line, the likeliest first.

    After a crash zeros may follow a line that was cut off, and the next whole line follows them.
    """
    return (text.rpartition("\0")[2], text) if "\0" in text else (text,)


def login_text(raw: bytes) -> str:
    """A login as text that FonProxy accepts. A text that cannot be a login becomes one that no customer has."""
    login = text_of(raw).replace("\0", "\ufffd")
    return login if len(login) <= MAX_TEXT else login[: MAX_TEXT - 1] + "…"
