"""Authenticators: API keys and key pairs of programs, JSON web tokens, sessions, applications and share links.

Every refusal of a key has the same text, so that a response does not reveal whether a key exists. Each authenticator
stores ``account_id`` on Django's request for the access log.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.authentication import SessionAuthentication as DrfSessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import Token

from accounts import applications, peppers, proof, sharing, tokens, viewing
from accounts.audit_trail import Actor, record
from accounts.models import ApiKey, ApplicationKey, AuditRecord, ShareLink, User
from accounts.services import KEY_SHAPE, KEY_START, record_access
from accounts.viewing import Viewed
from fonproxy.api.errors import ViewedOnly
from fonproxy.prepared import Prepared

CHALLENGE: Final = 'Bearer realm="api"'
BAD_KEY: Final = "The API key is not valid."

_keys_by_hash: Final = Prepared(lambda hashes: ApiKey.objects.select_related("user").filter(key_hash__in=hashes), str)


def caller(request: Request) -> User:
    """The authenticated user; for views whose permission has already refused anonymous callers."""
    assert isinstance(request.user, User)
    return request.user


def person(request: Request) -> User:
    """The person who calls, whichever account the session views."""
    return request.auth.person if isinstance(request.auth, Viewed) else caller(request)


def record_change(action: str, request: Request, now: datetime) -> None:
    """Records a change of the account by a person or an API key in the audit trail; call it in the transaction."""
    key = request.auth.pk if isinstance(request.auth, ApiKey) else None
    actor = Actor(person(request).pk, key)
    record(action, AuditRecord.Kind.USER, caller(request).pk, actor=actor, now=now)


def remember(request: Request, user: User) -> None:
    """Records the credential's owner, for the access log and for the server."""
    request._request.account_id = request._request.caller_id = user.pk  # type: ignore[attr-defined]


class ApiKeyAuthentication(BaseAuthentication):
    """``x-api-key: fnp_…`` or ``Authorization: Bearer fnp_…``; ``request.auth`` is the ApiKey.

    An ``x-api-key`` header takes precedence: a wrong key is refused even if the request has other valid credentials.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        secret = key_secret(request.headers.get("x-api-key"), _authorization(request))
        if secret is None:
            return None
        key = find_active_key(secret)
        remember(request, key.user)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class KeyPairAuthentication(BaseAuthentication):
    """``X-API-Public-Key``, an API key's prefix, with ``X-API-Private-Key``, the key itself; for Byteful routes.

    Either header takes precedence over other credentials: half a pair is refused.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        public, private = (request.headers.get(f"X-API-{half}-Key") for half in ("Public", "Private"))
        if public is None and private is None:
            return None
        if public is None or private is None:
            raise AuthenticationFailed("X-API-Public-Key and X-API-Private-Key are both required.")
        key = find_active_key(private)
        if key.prefix != public:
            raise AuthenticationFailed(BAD_KEY)
        remember(request, key.user)
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
            raise AuthenticationFailed("X-Auth-User and X-Auth-Key do not match an application and one of its keys.")
        remember(request, key.application.user)
        return key.application.user, key

    def authenticate_header(self, request: Request) -> str:
        return "Application"


class ShareLinkAuthentication(BaseAuthentication):
    """The secret of a share link in the path; ``request.auth`` is the link. An unknown secret is not found.

    ``request.user`` stays anonymous, because an error page would otherwise name the account.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ShareLink]:
        link = sharing.find(request.parser_context["kwargs"]["token"], timezone.now())
        if link is None:
            raise NotFound
        request._request.account_id = link.account_id  # type: ignore[attr-defined]  # for the access log; a link is not a credential
        return AnonymousUser(), link


def key_secret(x_api_key: str | None, authorization: str) -> str | None:
    """The secret of an API key in these two headers, valid or not; None if there is none."""
    if x_api_key is not None:
        return x_api_key
    bearer = _bearer(authorization)
    return bearer if bearer is not None and bearer.startswith(KEY_START) else None


def find_active_key(secret: str) -> ApiKey:
    """The active key of this secret with its user; records the use. Raises AuthenticationFailed."""
    key = find_active_keys({secret}).get(secret)
    if key is None:
        raise AuthenticationFailed(BAD_KEY)
    return key


def find_active_keys(secrets: Collection[str]) -> dict[str, ApiKey]:
    """Active keys by secret, with their users, in one query; records their use. Leaves out all other secrets."""
    # Hashes are unique and a secret has one per pepper, so several rows would be the same key stored twice.
    secret_of = {
        key_hash: secret for secret in secrets if KEY_SHAPE.fullmatch(secret) for key_hash in peppers.hashes(secret)
    }
    now = timezone.now()
    found: dict[str, ApiKey] = {}
    for key in _keys_by_hash.rows(list(secret_of)):
        if key.is_active(now) and key.user.is_active:
            secret = secret_of[key.key_hash]
            record_access(key, now)
            peppers.renew(key, secret)
            found[secret] = key
    return found


def _authorization(request: Request) -> str:
    return get_authorization_header(request).decode("latin-1")


def _bearer(authorization: str) -> str | None:
    scheme, _, credential = authorization.partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


class JwtAuthentication(BaseAuthentication):
    """``Authorization: Bearer <jwt>``; leaves API keys to their own authenticator."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        credential = _bearer(_authorization(request))
        if credential is None or credential.startswith(KEY_START):
            return None
        family, token = tokens.family_of(credential, timezone.now())
        remember(request, family.user)
        request._request.proved_at = family.created_at  # type: ignore[attr-defined]  # HasRecentProof reads it
        return family.user, token

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionAuthentication(DrfSessionAuthentication):
    """The session cookie, with CSRF protection.

    ``request.user`` is the account that the session views. If that is not the person's own, ``request.auth`` is a
    Viewed. Staff who view a customer may only read. The access log names the person. The ``X-Account`` header names the
    account of the response, because another tab of the browser may have switched it.
    """

    def authenticate(self, request: Request) -> tuple[Any, Viewed | None] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        remember(request, found[0])
        request._request.proved_at = proof.proved_at(request._request)  # type: ignore[attr-defined]  # HasRecentProof reads it
        viewed = viewing.viewed(request._request)
        request.parser_context["view"].headers["X-Account"] = viewed.account.published_id
        if viewed.is_own:
            return found
        if viewed.is_by_staff and request.method not in SAFE_METHODS:
            name = viewed.account.get_username()
            raise ViewedOnly(f"You are viewing as {name}. Stop viewing before you change anything.")
        return viewed.account, viewed
