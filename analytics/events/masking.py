"""Takes secrets out of a URL before it is stored: what an API's callers put into it is none of our business. Pure.

Callers write URLs in every way, nested and encoded; where in doubt, more is taken out rather than less.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote_plus

MASK: Final = "***"
DECODED_TIMES: Final = 3
LONG_WORD: Final = 5

_SEGMENT: Final = re.compile(r"([?&;#]|^)([^?&;#]+)")
# ``user@`` or ``user:password@`` before a host, also where the password holds what should have been encoded.
_USER: Final = re.compile(r"//[^/?#]*@|//[^/?#@]*:(?!\d*(?:[/?#]|$))[^?#]*@")
_BARE_USER: Final = re.compile(r"(^|[\s/\\:])[^\s/\\?#:@=&]+:[^\s/?#]*@")
# ``accessToken``, ``access_token``, ``APIToken`` and ``token2`` hold the word ``token``.
_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]")


def masked(url: str, secret_words: Collection[str]) -> str:
    """The URL with ``***`` for every value whose name holds one of the words, and without user and password."""
    if "@" in url:
        url = _BARE_USER.sub(r"\1", _USER.sub("//", url))
    if "=" not in url and "%" not in url:
        return url
    return _SEGMENT.sub(lambda found: found[1] + _segment(found[2], secret_words), url)


def _segment(text: str, secret_words: Collection[str]) -> str:
    """``name=value``, or what a URL is but for that."""
    name, equals, _ = text.partition("=")
    if equals and is_secret(_decoded(name), secret_words):
        return f"{name}={MASK}"
    if "%" not in text:
        return text
    plain = _decoded(text)
    if plain == text or masked(plain, secret_words) == plain:
        return text
    return f"{name}={MASK}" if equals else MASK


def _decoded(text: str) -> str:
    for _ in range(DECODED_TIMES):
        plain = unquote_plus(text)
        if plain == text:
            break
        text = plain
    return text


def is_secret(name: str, secret_words: Collection[str]) -> bool:
    """Whether a parameter's name holds one of the words: in any case, in the plural, or at the end of a longer one."""
    words = [word.lower() for word in _WORD.findall(_INVISIBLE.sub("", name))]
    return any(_is_secret_word(word, secret_words) for word in (*words, "".join(words)))


def _is_secret_word(word: str, secret_words: Collection[str]) -> bool:
    singular = word.removesuffix("s")
    if word in secret_words or singular in secret_words:
        return True
    # ``clientsecret``; but a monkey is no key.
    return singular.endswith(tuple(known for known in secret_words if len(known) >= LONG_WORD))
