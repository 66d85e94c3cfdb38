"""API keys of proxy servers as the password of HTTP Basic, which is all that some of their HTTP clients can send."""

from __future__ import annotations

from base64 import b64decode

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.authentication import BAD_KEY, CHALLENGE, find_active_key, remember
from accounts.models import ApiKey, User


class BasicKeyAuthentication(BaseAuthentication):
    """``Authorization: Basic``, any user name and an API key as password; ``request.auth`` is the ApiKey."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        try:
            secret = basic_secret(request.headers.get("Authorization", ""))
        except ValueError:
            raise AuthenticationFailed(BAD_KEY) from None
        if secret is None:
            return None
        key = find_active_key(secret)
        remember(request, key.user)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def basic_secret(authorization: str) -> str | None:
    """The password of HTTP Basic; None for another scheme. Raises ValueError for a malformed credential."""
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    return b64decode(credential, validate=True).decode().partition(":")[2]
