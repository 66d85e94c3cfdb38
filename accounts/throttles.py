"""How often a password may be tried."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

if TYPE_CHECKING:  # the views are imported later than the throttles their settings name
    from rest_framework.views import APIView


class TokenThrottle(SimpleRateThrottle):
    """Per address and lower-cased user name, so that guessing one password does not lock out its neighbours."""

    scope = "token"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        name = self.named(request)
        # As accounts are found by it: another way of writing a name is not another try.
        # Hashed because the name is whatever was sent: of any length, with characters that no cache takes in a key.
        lowered = unicodedata.normalize("NFKC", name).strip().lower() if isinstance(name, str) else ""
        digest = hashlib.sha256(lowered.encode("utf-8", "surrogatepass")).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": f"{self.get_ident(request)}:{digest}"}

    def named(self, request: Request) -> object:
        body = request.data
        return body.get("username") if isinstance(body, dict) else None


class FormThrottle(TokenThrottle):
    """The same for the forms of pages, by the field that names somebody; what is tried by either counts for both."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field

    def named(self, request: Request) -> object:
        return request.POST.get(self.field)
