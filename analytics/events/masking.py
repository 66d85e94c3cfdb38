"""Takes secrets out of a URL before it is stored: what an API's callers put into it is none of our business. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote_plus

MASK: Final = "***"

_PARAMETER: Final = re.compile(r"([?&;#])([^=&;#?]*)=([^&;#]*)")
_USER: Final = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/?#@]*@")
# ``accessToken``, ``access_token`` and ``access-token`` all hold the word ``token``; ``monkey`` does not hold ``key``.
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")


def masked(url: str, secret_words: Collection[str]) -> str:
    """The URL with ``***`` for every value whose name has one of the words, and without user and password."""
    if "@" in url:
        url = _USER.sub(r"\1//", url)
    if "=" not in url:
        return url
    return _PARAMETER.sub(lambda found: _parameter(found, secret_words), url)


def _parameter(found: re.Match[str], secret_words: Collection[str]) -> str:
    separator, name, _ = found.groups()
    return f"{separator}{name}={MASK}" if is_secret(unquote_plus(name), secret_words) else found[0]


def is_secret(name: str, secret_words: Collection[str]) -> bool:
    words = {word.lower() for word in _WORDS.findall(name)}
    return not words.isdisjoint(secret_words) or name.lower() in secret_words
