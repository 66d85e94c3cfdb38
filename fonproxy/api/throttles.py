"""How often a credential or an address may call. The rates are settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

if TYPE_CHECKING:  # the views read this module by name from the settings, while they are being imported
    from rest_framework.views import APIView


class ReadThrottle(SimpleRateThrottle):
    """Per credential: an API key counts by itself, a token or a session as its user, anyone else as an address."""

    scope = "read"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        key_id = getattr(request.auth, "pk", None)
        if key_id is not None:
            ident = f"{type(request.auth).__name__}:{key_id}"
        elif request.user.is_authenticated:
            ident = f"user:{request.user.pk}"
        else:
            ident = f"address:{self.get_ident(request)}"
        return self.cache_format % {"scope": self.scope, "ident": ident}


class ProvisioningThrottle(ReadThrottle):
    """Apart from the others, so that a billing system that works through its customers blinds no proxy."""

    scope = "provisioning"


class PublicThrottle(SimpleRateThrottle):
    """Per address."""

    scope = "public"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
