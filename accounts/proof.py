"""Proof of identity: when this sign-in last entered a password and, if there is one, a second factor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.contrib.auth import login
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest

from accounts import sessions
from accounts.models import User

BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
RECENT: Final = timedelta(minutes=15)
"""How long a proof is valid for changes of keys, users, factors and addresses."""


def sign_in(request: HttpRequest, user: User, *, has_factor: bool) -> None:
    """Signs the user in after password and second factor were checked."""
    login(request, user, backend=BACKEND)
    if has_factor:
        request.session[sessions.FACTOR] = True


def renew(request: HttpRequest, now: datetime) -> None:
    request.session[sessions.PROVED_AT] = now.timestamp()


def proved_at(request: HttpRequest) -> datetime | None:
    at = request.session.get(sessions.PROVED_AT)
    return None if at is None else datetime.fromtimestamp(at, UTC)


def is_recent(at: datetime | None, now: datetime) -> bool:
    return at is not None and now < at + RECENT


def remember_sign_in(sender: object, request: HttpRequest, user: User, **_: object) -> None:
    """Receives ``user_logged_in``: a sign-in counts as a proof."""
    renew(request, datetime.now(UTC))
    request.session["user_agent"] = request.headers.get("User-Agent", "")[:200]


def register() -> None:
    user_logged_in.connect(remember_sign_in)
