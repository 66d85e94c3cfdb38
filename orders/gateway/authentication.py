"""API keys of proxy servers as the password of HTTP Basic, which is all that some of their HTTP clients can send."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.authentication import BAD_KEY, CHALLENGE, find_active_key, remember
from accounts.models import ApiKey, User


class BasicKeyAuthentication(BaseAuthentication):
    """``Authorization: Basic``, any user name and an API key as password; ``request.auth`` is the ApiKey."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            secret = b64decode(credential, validate=True).decode().partition(":")[2]
        except (Error, ValueError):
            raise AuthenticationFailed(BAD_KEY) from None
        key = find_active_key(secret)
        remember(request, key.user)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE
