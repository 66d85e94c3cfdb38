"""JSON web tokens of programs that signed in with a password: short-lived access tokens and single-use refresh tokens.

A refresh token that is used twice must have been copied: all tokens of its sign-in, its *family*, then end.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from django.db import transaction
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts import sign_in_policy
from accounts.models import TokenFamily, User
from fonproxy.prepared import Prepared

BAD_SIGN_IN: Final = "The user name or the password is wrong."
BAD_TOKEN: Final = "The token is not valid."  # noqa: S105  # a sentence
FAMILY: Final = "family"

_families: Final = Prepared(lambda keys: TokenFamily.objects.select_related("user").filter(key__in=keys), str)

AnyToken = TypeVar("AnyToken", bound=Token)


class Pair(NamedTuple):
    access: str
    refresh: str


def issue(user: User, now: datetime, *, has_factor: bool = False) -> Pair:
    """The first tokens of a new family.

    Raises AuthenticationFailed if the user was deactivated or got another password since ``user`` was read. Checking a
    password takes so long that a sign-in with the old one may begin before that and end after it.
    """
    refresh = RefreshToken()
    with transaction.atomic():
        current = user.locked()
        if current is None or not current.is_active:
            raise AuthenticationFailed(BAD_SIGN_IN)
        family = TokenFamily.objects.create(
            key=secrets.token_hex(16),
            user=user,
            has_factor=has_factor,
            refresh_id=refresh["jti"],
            created_at=now,
            expires_at=now + sign_in_policy.token_lifetime(user),
        )
    return _signed(refresh, family)


def rotate(text: str, now: datetime) -> Pair:
    """New tokens in exchange for a refresh token; raises AuthenticationFailed, and ends the family of a reused one."""
    given = read(RefreshToken, text)
    with transaction.atomic():
        family = _family(given, now, is_locked=True)
        if given["jti"] == family.refresh_id:
            refresh = RefreshToken()
            family.refresh_id = refresh["jti"]
            family.save(update_fields=["refresh_id"])
            return _signed(refresh, family)
        family.delete()
    raise AuthenticationFailed(BAD_TOKEN)


def family_of(access: str, now: datetime) -> tuple[TokenFamily, Token]:
    """The family of an access token, with its user; raises AuthenticationFailed."""
    token = read(AccessToken, access)
    return _family(token, now), token


def read(kind: type[AnyToken], text: str) -> AnyToken:
    """The token after checking signature and expiry; raises AuthenticationFailed."""
    try:
        return kind(text)  # type: ignore[arg-type]  # annotated as the library's own Token, reads text
    except (TokenError, RecursionError):  # the parser does not catch a header of a thousand nested brackets
        raise AuthenticationFailed(BAD_TOKEN) from None


def _family(token: Token, now: datetime, *, is_locked: bool = False) -> TokenFamily:
    key = str(token.get(FAMILY))
    if is_locked:
        family = TokenFamily.objects.select_related("user").select_for_update(of=("self",)).filter(key=key).first()
    else:
        family = next(iter(_families.rows([key])), None)
    if (
        family is None
        or family.expires_at <= now
        or not sign_in_policy.still_holds(
            family.user, began_at=family.created_at, has_factor=family.has_factor, now=now
        )
    ):
        raise AuthenticationFailed(BAD_TOKEN)
    return family


def _signed(refresh: RefreshToken, family: TokenFamily) -> Pair:
    """Names the user by the published id only."""
    refresh.payload |= {
        "sub": family.user.published_id,
        FAMILY: family.key,
        "exp": int(family.expires_at.timestamp()),
    }
    return Pair(str(refresh.access_token), str(refresh))
