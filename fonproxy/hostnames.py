"""The canonical form in which host names are stored, returned and compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

import idna

from fonproxy import addresses

ACE_PREFIX: Final = "xn--"
MAX_LABEL: Final = 63  # characters, in DNS
DOTS: Final = re.compile("[.\u3002\uff0e\uff61]")  # UTS 46 treats all of these as dots


def normalized(host: str) -> str:
    """The host name in lower case, in Unicode form (UTS 46, Punycode decoded), without final dots.

    An IPv6 address is in canonical form, without the brackets of a URL. Text that is not a host name is lower-cased.
    Normalizing twice changes nothing.
    """
    text = host.lower()
    if not text.isascii() or ACE_PREFIX in text:
        text = ".".join(map(_label, DOTS.split(text)))
    text = text.rstrip(".")
    return _address(text) if ":" in text else text


def _address(text: str) -> str:
    """An IPv6 address in canonical form; any other text unchanged."""
    is_bracketed = text.startswith("[") and text.endswith("]")
    try:
        return addresses.canonical(text[1:-1] if is_bracketed else text)
    except ValueError:
        return text


def _label(text: str) -> str:
    if text.startswith(ACE_PREFIX):
        return _decoded(text)
    try:
        return idna.uts46_remap(text, std3_rules=False)
    except UnicodeError:
        return unicodedata.normalize("NFC", text)


def _decoded(label: str) -> str:
    """A label with its Punycode decoded; invalid Punycode stays unchanged."""
    if len(label) > MAX_LABEL:
        return label
    encoded = label.removeprefix(ACE_PREFIX)
    try:
        decoded = encoded.encode("ascii").decode("punycode")
        is_exact = not decoded.isascii() and idna.uts46_remap(decoded, std3_rules=False) == decoded
    except UnicodeError:
        return label
    return decoded if is_exact and decoded.encode("punycode").decode() == encoded else label


def all_normalized(hosts: Iterable[str]) -> list[str]:
    """The same for a column, in which few names are repeated in many rows."""
    hosts = list(hosts)
    known = {host: normalized(host) for host in set(hosts)}
    return [known[host] for host in hosts]
