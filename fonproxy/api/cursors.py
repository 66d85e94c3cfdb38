"""Cursors of long lists, signed so that only cursors from a response are accepted.

A cursor contains the key of the last returned row, not a number of rows, so rows that are added or deleted meanwhile
shift nothing. It also contains the list's name and filters, and is valid with these only.
"""

from __future__ import annotations

from typing import Any, Final

from django.core.signing import BadSignature, Signer
from rest_framework.request import Request

from fonproxy.api.errors import FieldError, InvalidInput

_signer: Final = Signer(salt="cursor")


def encode(name: str, filters: Any, key: Any) -> str:
    """The cursor after the row of that key; filters and key are JSON values."""
    return _signer.sign_object([name, filters, key])


def decode(cursor: str, name: str, filters: Any) -> Any:
    """The key in the cursor; raises InvalidInput for a cursor of another list or other filters."""
    try:
        found = _signer.unsign_object(cursor)
    except (BadSignature, ValueError):
        raise _refusal("Must be the cursor of an earlier response.") from None
    if found[:2] != [name, filters]:
        raise _refusal("The cursor belongs to another list or other filters: repeat the filters of its response.")
    return found[2]


def link_to_next(request: Request, cursor: str) -> str:
    """The value of the header ``Link`` (RFC 8288) for the next page, for responses without an envelope."""
    query = request.query_params.copy()
    query["cursor"] = cursor
    return f'<{request.path}?{query.urlencode()}>; rel="next"'


def _refusal(message: str) -> InvalidInput:
    return InvalidInput("The cursor is malformed.", errors=[FieldError("cursor", message)])
