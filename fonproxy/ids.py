"""Published ids: hashids of ten characters, salted per kind, so that no kind's id is valid for another.

They hide the number of rows; they are not secret. Callers must check who owns the decoded row.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

from django.conf import settings
from hashid_field import Hashid
from hashids import Hashids

# Of every id up to MAX_NUMBER: they need at most nine characters, and shorter ones are padded.
LENGTH: Final = 10
# No table has this many rows; an id of another kind that happens to decode gives a much larger number.
MAX_NUMBER: Final = 2**40


@cache
def _salt(kind: str) -> str:
    """Hashed, because hashids uses only the first forty-odd characters of a salt, which must depend on the kind."""
    return hashlib.sha256(f"{settings.ID_SALT}:{kind}".encode()).hexdigest()


@cache
def _hashids(kind: str) -> Hashids:
    return Hashids(salt=_salt(kind), min_length=LENGTH)


def encode(kind: str, number: int, prefix: str = "") -> str:
    """The published id of row ``number`` of this kind (``order``, ``key``, …), behind a prefix where an API has one."""
    # The coder is passed for speed; the library requires its salt and length too.
    return prefix + str(Hashid(number, salt=_salt(kind), min_length=LENGTH, hashids=_hashids(kind)))


def decode(kind: str, text: str, prefix: str = "") -> int | None:
    """The row's number, or None for anything that :func:`encode` never returned for this kind and prefix."""
    if not text.isascii() or not text.startswith(prefix):
        return None
    if len(text) != len(prefix) + LENGTH:  # hashids takes seconds for a long text: its cost is the length squared
        return None
    numbers = _hashids(kind).decode(text.removeprefix(prefix))
    if len(numbers) != 1 or numbers[0] > MAX_NUMBER or encode(kind, numbers[0], prefix) != text:
        return None
    return int(numbers[0])
