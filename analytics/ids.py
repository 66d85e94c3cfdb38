"""Ids that contain a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator


def new_ids(at_ms: Iterable[int]) -> Iterator[str]:
    """A UUIDv7 (RFC 9562) for each of these milliseconds."""
    for at in at_ms:
        low = secrets.randbits(74)
        number = at << 80 | 7 << 76 | (low >> 62) << 64 | 2 << 62 | low & (1 << 62) - 1
        text = f"{number:032x}"
        yield f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
