"""What changes accounts: keys are issued, revoked and seen in use."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from accounts import peppers
from accounts.models import ApiKey, Scope, User
from fonproxy.api.errors import Conflict

KEY_START: Final = "fnp_"
KEY_SHAPE: Final = re.compile(r"fnp_[0-9a-f]{64}")
PREFIX_LENGTH: Final = 8
MAX_ACTIVE_KEYS: Final = 100
ACCESS_GRAIN: Final = timedelta(seconds=60)


def issue_key(
    *, user: User, name: str, scopes: Collection[str], expires_at: datetime | None = None, now: datetime
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is kept nowhere; raises Conflict when the user holds too many.

    Who may grant which scope is the caller's affair.
    """
    secret = KEY_START + secrets.token_hex(32)
    with transaction.atomic():
        # Two requests that arrive together count one after the other, so that neither slips past the limit.
        User.objects.select_for_update().get(pk=user.pk)
        if active_keys(user, now) >= MAX_ACTIVE_KEYS:
            raise Conflict(f"A user holds at most {MAX_ACTIVE_KEYS} active keys; revoke one first.")
        key = ApiKey.objects.create(
            user=user,
            name=name,
            prefix=secret[:PREFIX_LENGTH],
            **peppers.stored(secret)._asdict(),
            can_read=Scope.READ in scopes,
            can_ingest=Scope.INGEST in scopes,
            created_at=now,
            expires_at=expires_at,
        )
    return key, secret


def active_keys(user: User, now: datetime) -> int:
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return ApiKey.objects.filter(alive, user=user, revoked_at__isnull=True).count()


def revoke_key(key: ApiKey, now: datetime) -> None:
    """End the key; one that was revoked before keeps the time it was."""
    ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now)


def record_access(key: ApiKey, now: datetime) -> None:
    """Remember that the key was used, to the minute: most requests find it remembered and write nothing."""
    stale = now - ACCESS_GRAIN
    if key.last_access_at is not None and key.last_access_at >= stale:
        return
    unrecorded = Q(last_access_at__isnull=True) | Q(last_access_at__lt=stale)
    ApiKey.objects.filter(unrecorded, pk=key.pk).update(last_access_at=now)
