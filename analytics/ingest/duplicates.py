"""Detects a body whose list is given more than once. Decoders keep the last one; rows of the others would be lost."""

from __future__ import annotations

import json
from typing import Any, Final

from fonproxy.api.errors import TooLarge

# Limits the memory of parsing: 50 values for each of 100,000 rows.
MAX_VALUES: Final = 5_000_000


def is_repeated(name: str, body: bytes, rows: int) -> bool:
    """Whether an accepted body has more than one list of this name, and so more rows than the ``rows`` decoded.

    Each row has its own brace, so usually two counts decide. Only a body with further braces, in which the name
    occurs again or may be escaped, is parsed again; raises TooLarge if it has too many values for that.
    """
    if body.count(b"{") <= rows + 1:
        return False
    if body.count(f'"{name}"'.encode()) == 1 and b"\\u" not in body:
        return False
    if body.count(b",") > MAX_VALUES:
        raise TooLarge(f"A body with nested fields may have at most {MAX_VALUES:,} values.")

    def occurrences(members: list[tuple[str, Any]]) -> int:
        return sum(key == name for key, _ in members)

    try:  # the outermost object comes last; numbers of any length are skipped
        return int(json.loads(body, object_pairs_hook=occurrences, parse_int=len, parse_float=len)) > 1
    except RecursionError:  # it allows a few levels less than the decoder; such a body is refused, too
        return True
