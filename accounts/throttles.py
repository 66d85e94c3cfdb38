"""How often a password may be tried."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Final

from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from fonproxy.api.throttles import AddressThrottle

if TYPE_CHECKING:  # the views are imported later than the throttles their settings name
    from rest_framework.views import APIView


REMEMBERED_SECONDS: Final = 30 * 86_400


class TokenThrottle(AddressThrottle):
    """Per address and user name, so that guessing one password does not lock out its neighbours."""

    scope = "token"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = f"{self.get_ident(request)}:{_digest(self.named(request))}"
        return self.cache_format % {"scope": self.scope, "ident": ident}

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


class UserThrottle(TokenThrottle):
    """For forms of somebody who is signed in already; what is tried at the sign-in counts too."""

    def named(self, request: Request) -> object:
        return request.user.get_username()


class EmailChangeThrottle(SimpleRateThrottle):
    """Limits confirmation mails per user: they go to addresses that the user types."""

    scope = "email-change"
    rate = "5/hour"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class InvitationThrottle(EmailChangeThrottle):
    """The same for invitations to a team."""

    scope = "invitation"
    rate = "20/hour"


class NameThrottle(TokenThrottle):
    """Per user name, wherever the tries come from, but not from where that user has signed in before.

    So guesses from a thousand addresses are few, and do not lock the user out.
    """

    scope = "name"
    rate = "60/hour"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": _digest(self.named(request))}

    def allow_request(self, request: Request, view: APIView) -> bool:
        known = _origin_key(self.named(request), self.get_ident(request))
        return cache.get(known) is not None or super().allow_request(request, view)


class FormNameThrottle(FormThrottle, NameThrottle):
    """The same for the forms of pages."""


def remember_origin(request: HttpRequest, name: str) -> None:
    """Notes that the user has signed in from this address, after a right password."""
    cache.set(_origin_key(name, NameThrottle().get_ident(request)), True, REMEMBERED_SECONDS)  # type: ignore[arg-type]  # reads no more than any request has


def _origin_key(name: object, network: str) -> str:
    return f"signed-in-from:{_digest(name)}:{network}"


def _digest(name: object) -> str:
    """Of the name as accounts are found by it: another way of writing it is not another try.

    Hashed because the name is whatever was sent: of any length, with characters that no cache takes in a key.
    """
    lowered = unicodedata.normalize("NFKC", name).strip().lower() if isinstance(name, str) else ""
    return hashlib.sha256(lowered.encode("utf-8", "surrogatepass")).hexdigest()
