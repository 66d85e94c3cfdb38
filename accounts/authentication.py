"""Who is calling: a program by its API key or its pair of keys, a person by a JSON web token or a session.

Every refusal of a key is one and the same sentence, so that an answer never tells whether a key exists. Each
authenticator leaves ``account_id`` on Django's request for the access log.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.authentication import SessionAuthentication as DrfSessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, Token

from accounts import applications, peppers, viewing
from accounts.models import ApiKey, ApplicationKey, User
from accounts.services import KEY_SHAPE, KEY_START, record_access
from fonproxy.api.errors import ViewedOnly

CHALLENGE: Final = 'Bearer realm="api"'
BAD_KEY: Final = "The API key is not valid."
BAD_TOKEN: Final = "The token is not valid."  # noqa: S105  # a sentence

AnyToken = TypeVar("AnyToken", bound=Token)


def caller(request: Request) -> User:
    """Who a permission has let in."""
    assert isinstance(request.user, User)
    return request.user


def _remember(request: Request, user: User) -> None:
    request._request.account_id = user.pk  # type: ignore[attr-defined]  # the access log reads it


class ApiKeyAuthentication(BaseAuthentication):
    """``x-api-key: fnp_…`` or ``Authorization: Bearer fnp_…``; ``request.auth`` is the ApiKey.

    An ``x-api-key`` header decides alone: a wrong one is refused whatever else the request carries.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        secret = request.headers.get("x-api-key")
        if secret is None:
            secret = _bearer(request)
            if secret is None or not secret.startswith(KEY_START):
                return None
        key = find_active_key(secret)
        _remember(request, key.user)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class KeyPairAuthentication(BaseAuthentication):
    """``X-API-Public-Key``, an API key's prefix, with ``X-API-Private-Key``, the key itself; for tracking routes.

    Either header decides alone, whatever else the request carries: half a pair is refused.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        public, private = (request.headers.get(f"X-API-{half}-Key") for half in ("Public", "Private"))
        if public is None and private is None:
            return None
        if public is None or private is None:
            raise AuthenticationFailed("X-API-Public-Key and X-API-Private-Key are both needed.")
        key = find_active_key(private)
        if key.prefix != public:
            raise AuthenticationFailed(BAD_KEY)
        _remember(request, key.user)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class ApplicationAuthentication(BaseAuthentication):
    """``X-Auth-User``, an application's id, with ``X-Auth-Key``, one of its keys; ``request.auth`` is that key."""

    def authenticate(self, request: Request) -> tuple[User, ApplicationKey] | None:
        application_id, secret = request.headers.get("X-Auth-User"), request.headers.get("X-Auth-Key")
        if application_id is None and secret is None:
            return None
        key = applications.find_key(application_id or "", secret or "", timezone.now())
        if key is None:
            raise AuthenticationFailed("X-Auth-User and X-Auth-Key are not an application and one of its keys.")
        _remember(request, key.application.user)
        return key.application.user, key

    def authenticate_header(self, request: Request) -> str:
        return "Application"


def find_active_key(secret: str) -> ApiKey:
    """The key of this secret with its user, its use recorded; raises AuthenticationFailed."""
    if not KEY_SHAPE.fullmatch(secret):
        raise AuthenticationFailed(BAD_KEY)
    now = timezone.now()
    key = ApiKey.objects.select_related("user").filter(key_hash__in=peppers.hashes(secret)).first()
    if key is None or not key.is_active(now) or not key.user.is_active:
        raise AuthenticationFailed(BAD_KEY)
    record_access(key, now)
    peppers.renew(key, secret)
    return key


def _bearer(request: Request) -> str | None:
    scheme, _, credential = get_authorization_header(request).decode("latin-1").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


def read_token(kind: type[AnyToken], text: str) -> AnyToken:
    """The token, its signature and life checked; raises AuthenticationFailed."""
    try:
        return kind(text)  # type: ignore[arg-type]  # annotated as the library's own Token, reads text
    except (TokenError, RecursionError):  # a header of a thousand brackets is what the parser fails to refuse
        raise AuthenticationFailed(BAD_TOKEN) from None


def user_of_token(token: Token) -> User:
    """The token's user if still there, active and with the password of then; raises AuthenticationFailed."""
    try:
        user = JWTAuthentication().get_user(token)
    except AuthenticationFailed:  # the library's own has a nested detail, and tells which check failed
        raise AuthenticationFailed(BAD_TOKEN) from None
    assert isinstance(user, User)  # AUTH_USER_MODEL
    return user


class JwtAuthentication(BaseAuthentication):
    """``Authorization: Bearer <jwt>``; leaves API keys to their own authenticator."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        credential = _bearer(request)
        if credential is None or credential.startswith(KEY_START):
            return None
        token = read_token(AccessToken, credential)
        user = user_of_token(token)
        _remember(request, user)
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionAuthentication(DrfSessionAuthentication):
    """The dashboard's cookie, with CSRF protection.

    While staff view as a customer it answers as that customer, to reads alone; the access log names who calls.
    ``X-Account`` tells whose answer it is: another tab of the same browser may have changed that.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        _remember(request, found[0])
        customer = viewing.viewed_as(request._request)
        request.parser_context["view"].headers["X-Account"] = (customer or found[0]).published_id
        if customer is None:
            return found
        if request.method not in SAFE_METHODS:
            raise ViewedOnly(f"You are viewing as {customer.get_username()}: stop viewing before you change anything.")
        return customer, None
