"""Throttles for password attempts and for mails that a user triggers."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Final

from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from fonproxy.api.throttles import AddressThrottle

if TYPE_CHECKING:  # the settings name these throttles, which are imported before the views
    from rest_framework.views import APIView


REMEMBERED_SECONDS: Final = 30 * 86_400


class TokenThrottle(AddressThrottle):
    """Per address and user name, so that guesses of one name do not lock out others at the same address."""

    scope = "token"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = f"{self.get_ident(request)}:{_digest(self.named(request))}"
        return self.cache_format % {"scope": self.scope, "ident": ident}

    def named(self, request: Request) -> object:
        body = request.data
        return body.get("username") if isinstance(body, dict) else None


class FormThrottle(TokenThrottle):
    """The same for forms of pages, by the field that names the user; both share one count."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field

    def named(self, request: Request) -> object:
        return request.POST.get(self.field)


class UserThrottle(TokenThrottle):
    """For forms of a signed-in user; shares its count with the sign-in."""

    def named(self, request: Request) -> object:
        return request.user.get_username()


class EmailChangeThrottle(SimpleRateThrottle):
    """Limits confirmation mails per user, because they go to addresses that the user enters."""

    scope = "email-change"
    rate = "5/hour"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class InvitationThrottle(EmailChangeThrottle):
    """The same for invitations to a team."""

    scope = "invitation"
    rate = "20/hour"


class NameThrottle(TokenThrottle):
    """Per user name over all addresses, except addresses from which that user has signed in before.

    This limits guesses from a thousand addresses without locking the user out.
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


class PasswordResetThrottle(FormThrottle):
    """Limits the mails that strangers can have sent to one address, from however many of their own."""

    scope = "password-reset"
    rate = "5/hour"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": _digest(self.named(request))}


class UserNameThrottle(UserThrottle, NameThrottle):
    """The same for forms of signed-in users: a stolen cookie can also be used from a thousand addresses."""


def remember_origin(request: HttpRequest, name: str) -> None:
    """Records that the user has signed in from this address."""
    cache.set(_origin_key(name, NameThrottle().get_ident(request)), True, REMEMBERED_SECONDS)  # type: ignore[arg-type]  # uses only what any request has


def _origin_key(name: object, network: str) -> str:
    return f"signed-in-from:{_digest(name)}:{network}"


def _digest(name: object) -> str:
    """A hash of the name in the form in which accounts are found, so that another spelling gives no further attempts.

    Hashed, because the name is arbitrary input: of any length, with characters that cache keys may not have.
    """
    lowered = unicodedata.normalize("NFKC", name).strip().lower() if isinstance(name, str) else ""
    return hashlib.sha256(lowered.encode("utf-8", "surrogatepass")).hexdigest()
