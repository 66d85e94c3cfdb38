"""Removes secrets from a URL before it is stored. Pure.

Callers write URLs in every form, nested and encoded; in doubt, more is removed rather than less.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote_plus

MASK: Final = "***"
DECODED_TIMES: Final = 3
LONG_WORD: Final = 5

# How often a URL may be encoded in another; anything nested deeper is removed without decoding.
NESTED_TIMES: Final = 3

_SEGMENT: Final = re.compile(r"([?&;#]|^)([^?&;#]+)")
_QUERY_OR_FRAGMENT: Final = re.compile(r"([?#])")
_FIELD: Final = re.compile(r"([\s/?#])")
# The name in ``user:password@host`` that does not follow ``//``.
_BARE_NAME: Final = re.compile(r"(^|[\\:])[^\\:@=&]+:")
# ``accessToken``, ``access_token``, ``APIToken`` and ``token2`` contain the word ``token``.
_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]")


def masked(url: str, secret_words: Collection[str], *, depth: int = 0) -> str:
    """The URL without user and password, and with ``***`` for every value whose name contains one of the words."""
    if "@" in url:
        url = _without_bare_users("".join(map(_without_user, _QUERY_OR_FRAGMENT.split(url))))
    if "=" not in url and "%" not in url:
        return url
    return _SEGMENT.sub(lambda found: found[1] + _segment(found[2], secret_words, depth), url)


def _without_user(text: str) -> str:
    """Removes ``user@`` or ``user:password@`` after a ``//``; the text has neither ``?`` nor ``#``."""
    last = text.rfind("@")
    kept: list[str] = []
    done = 0
    at = text.find("//")
    while 0 <= at < last:
        host = at + 2
        slash = text.find("/", host)
        end = text.rfind("@", host, slash if slash >= 0 else len(text))
        if end < 0 and _holds_password(text[host:slash]):
            end = last
        if end >= 0:
            kept.append(text[done:host])
            done = end + 1
        at = text.find("//", max(at + 1, done))
    return "".join((*kept, text[done:]))


def _holds_password(host: str) -> bool:
    """Whether ``name:password`` is where a host should be; a slash in the password cuts it off."""
    _, colon, port = host.rpartition(":")
    return bool(colon) and (host.count(":") > 1 or not (port.isdecimal() or not port))


def _without_bare_users(url: str) -> str:
    """Removes ``user:password@`` at the start, or after white space, a slash, a backslash or a colon."""
    parts = _FIELD.split(url)  # fields at even indexes, separators at odd ones
    for place in range(0, len(parts), 2):
        field = parts[place]
        last = field.rfind("@")
        if last < 0:
            continue
        found = _BARE_NAME.search(field, 0, last)
        if found and found.start() == 0 == len(found[1]) and place and parts[place - 1] in "?#":
            found = _BARE_NAME.search(field, field.index(":"), last)
        if found:
            parts[place] = field[: found.end(1)] + field[last + 1 :]
    return "".join(parts)


def _segment(text: str, secret_words: Collection[str], depth: int) -> str:
    """The text, masked if it is ``name=value`` with a secret name, or hides a secret in percent-encoding."""
    name, equals, _ = text.partition("=")
    if equals and is_secret(_decoded(name), secret_words):
        return f"{name}={MASK}"
    if "%" not in text:
        return text
    plain = _decoded(text)
    if plain == text:
        return text
    if depth < NESTED_TIMES and masked(plain, secret_words, depth=depth + 1) == plain:
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
    """Whether a parameter's name contains one of the words, in any case, in the plural or at the end of a longer
    one.
    """
    words = [word.lower() for word in _WORD.findall(_INVISIBLE.sub("", name))]
    return any(_is_secret_word(word, secret_words) for word in (*words, "".join(words)))


def _is_secret_word(word: str, secret_words: Collection[str]) -> bool:
    singular = word.removesuffix("s")
    if word in secret_words or singular in secret_words:
        return True
    # ``clientsecret`` contains a secret, ``monkey`` no key
    return singular.endswith(tuple(known for known in secret_words if len(known) >= LONG_WORD))
