"""Changes of accounts: issuing and revoking keys, recording their use."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound

from accounts import notices, peppers
from accounts.models import ApiKey, ApplicationKey, Scope, User
from accounts.notices import Notice
from fonproxy.api.errors import Conflict
from fonproxy.sqlite import without_waiting

KEY_START: Final = "fnp_"
KEY_SHAPE: Final = re.compile(r"fnp_[0-9a-f]{64}")
PREFIX_LENGTH: Final = 8
MAX_ACTIVE_KEYS: Final = 100
ACCESS_GRAIN: Final = timedelta(seconds=60)


def issue_key(
    *, user: User, name: str, scopes: Collection[str], expires_at: datetime | None = None, now: datetime
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is not stored.

    Raises Conflict when the user has too many, and after a concurrent change of the password. The caller decides who
    may grant which scope.
    """
    secret = KEY_START + secrets.token_hex(32)
    with transaction.atomic():
        # The lock serializes concurrent requests, so that they cannot exceed the limit together.
        if user.locked() is None:
            raise Conflict("The password was changed at the same moment. Sign in again.")
        if active_keys(user, now) >= MAX_ACTIVE_KEYS:
            raise Conflict(f"An account can have at most {MAX_ACTIVE_KEYS} active keys. Revoke one first.")
        key = ApiKey.objects.create(
            user=user,
            name=name,
            prefix=secret[:PREFIX_LENGTH],
            **peppers.stored(secret)._asdict(),
            **{scope.column: scope in scopes for scope in Scope},
            created_at=now,
            expires_at=expires_at,
        )
        notices.send(Notice.NEW_KEY, user, detail=f"{key.prefix}…")
    return key, secret


def rotate_key(key: ApiKey, now: datetime, *, immediately: bool = False) -> tuple[ApiKey, str]:
    """A new key with the name, scopes and expiry of this one, which works on for the grace period or ends at once.

    Raises Conflict for a key that has ended, and when the user holds too many; NotFound if both were erased
    concurrently. The caller decides who may do so.
    """
    ends_at = now + timedelta(hours=settings.KEY_GRACE_HOURS)
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).filter(pk=key.user_id).first()  # one rotation at a time
        old = ApiKey.objects.filter(pk=key.pk).first()
        if user is None or old is None:
            raise NotFound
        if not old.is_active(now):
            raise Conflict(_("This key has ended. Create a new one."))
        if immediately:
            revoke_key(old, now)
        elif old.expires_at is None or old.expires_at > ends_at:
            ApiKey.objects.filter(pk=old.pk).update(expires_at=ends_at)
        return issue_key(user=user, name=old.name, scopes=old.scopes, expires_at=old.expires_at, now=now)


def active_keys(user: User, now: datetime) -> int:
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return ApiKey.objects.filter(alive, user=user, revoked_at__isnull=True).count()


def revoke_key(key: ApiKey, now: datetime) -> bool:
    """Revokes the key; False if it was revoked before, which keeps its earlier time."""
    return bool(ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now))


def revoke_all_keys(user: User, now: datetime) -> None:
    """Ends the user's API keys and the keys of their applications."""
    ApiKey.objects.filter(user=user, revoked_at__isnull=True).update(revoked_at=now)
    ends_later = Q(ends_at=None) | Q(ends_at__gt=now)
    ApplicationKey.objects.filter(ends_later, application__user=user).update(ends_at=now)


def record_access(key: ApiKey, now: datetime) -> None:
    """Records the use of the key, to the minute, so that most requests write nothing."""
    stale = now - ACCESS_GRAIN
    if key.last_access_at is not None and key.last_access_at >= stale:
        return
    unrecorded = Q(last_access_at__isnull=True) | Q(last_access_at__lt=stale)
    with suppress(OperationalError), without_waiting():  # another writer holds SQLite: the next request records it
        ApiKey.objects.filter(unrecorded, pk=key.pk).update(last_access_at=now)
