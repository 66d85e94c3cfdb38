"""How long a sign-in lasts, and which proof it needs. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

from accounts.models import User

STAFF_LIFETIME: Final = timedelta(hours=8)
STAFF_IDLE: Final = timedelta(minutes=30)
TOKEN_LIFETIME: Final = timedelta(days=14)


def needs_factor(user: User) -> bool:
    """Whether this user needs a second factor: staff, if the installation requires it."""
    return user.has_powers and bool(settings.STAFF_SECOND_FACTOR)


def still_holds(user: User, *, began_at: datetime, has_factor: bool, now: datetime) -> bool:
    """Whether a sign-in of that time is still valid for the user's current status."""
    if not user.is_active or (needs_factor(user) and not has_factor):
        return False
    return not user.has_powers or now < began_at + STAFF_LIFETIME


def token_lifetime(user: User) -> timedelta:
    return STAFF_LIFETIME if user.has_powers else TOKEN_LIFETIME
