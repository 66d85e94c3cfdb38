"""Rate limits per account or address. The rates are settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from fonproxy.api import slots
from fonproxy.networks import network_of

if TYPE_CHECKING:  # The settings name this module for the views, which are being imported at that time.
    from rest_framework.views import APIView


class AddressThrottle(SimpleRateThrottle):
    """Per address; IPv6 by its /64.

    ``AnonRateThrottle`` would not count callers who are signed in, and these may call public routes too.
    """

    def get_ident(self, request: Request) -> str:
        return network_of(super().get_ident(request))

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class AccountThrottle(AddressThrottle):
    """Per account, over all its credentials; anonymous callers per address."""

    def get_cache_key(self, request: Request, view: APIView) -> str:
        user_id = request.user.pk
        ident = f"address:{self.get_ident(request)}" if user_id is None else f"user:{user_id}"
        return self.cache_format % {"scope": self.scope, "ident": ident}


class ReadThrottle(AccountThrottle):
    """Limits an account's reads per minute, and the number handled at once."""

    scope = "read"
    lacks_slot = False

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not super().allow_request(request, view):
            return False
        account_id = self.slot(request)
        if account_id is None:
            return True
        if not slots.reads.acquire(account_id):
            self.lacks_slot = True
            return False
        request._request.read_slot = account_id  # type: ignore[attr-defined]  # HeldSlots releases it
        return True

    def slot(self, request: Request) -> int | None:
        """The number that identifies the slots; None for anonymous callers."""
        number: int | None = request.user.pk
        return number

    def wait(self) -> float | None:
        return 1 if self.lacks_slot else super().wait()


class PageThrottle(AccountThrottle):
    """Counts an account's pages together with its reads."""

    scope = "read"


class SharedViewThrottle(ReadThrottle):
    """The same for share links, per link and separate from the account: a busy link blocks nobody else."""

    scope = "shared"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.auth.pk}

    def slot(self, request: Request) -> int | None:
        link: Any = request.auth
        return -int(link.account_id)


class ProvisioningThrottle(AccountThrottle):
    """Separate from the others, so that a billing system that lists all customers does not block gateways."""

    scope = "provisioning"


class PublicThrottle(AddressThrottle):
    scope = "public"
