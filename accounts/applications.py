"""Applications, the APIs whose events are stored: creating them, and exchanging their keys without downtime."""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from rest_framework.exceptions import NotFound

from accounts import peppers
from accounts.models import Application, ApplicationKey, User
from fonproxy import ids
from fonproxy.api.errors import Conflict

MAX_APPLICATIONS: Final = 100
# A multiple of three bytes needs no padding in base64, which some clients strip or add.
KEY_BYTES: Final = 30
KEY_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{40}")


class Keys(NamedTuple):
    """The two secrets of an application, which are not stored."""

    write: str
    read: str


def create(user: User, name: str, now: datetime) -> tuple[Application, Keys]:
    """A new application and its keys.

    Raises Conflict when the user has too many, and after a concurrent change of the password.
    """
    with transaction.atomic():
        # The lock serializes concurrent requests, so that they cannot exceed the limit together.
        if user.locked() is None:
            raise Conflict("The password was changed at the same moment. Sign in again.")
        if Application.objects.filter(user=user).count() >= MAX_APPLICATIONS:
            raise Conflict(f"An account can have at most {MAX_APPLICATIONS} applications.")
        application = Application.objects.create(user=user, name=name, created_at=now)
        return application, _issue(application, now)


def rotate_keys(application: Application, now: datetime, *, immediately: bool = False) -> Keys:
    """Creates new keys. The old ones work for the grace period, or end at once if ``immediately``."""
    ends_at = now if immediately else now + timedelta(hours=settings.KEY_GRACE_HOURS)
    with transaction.atomic():
        Application.objects.select_for_update().get(pk=application.pk)
        later = Q(ends_at=None) | Q(ends_at__gt=ends_at)
        ApplicationKey.objects.filter(later, application=application).update(ends_at=ends_at)
        return _issue(application, now)


def _issue(application: Application, now: datetime) -> Keys:
    keys = Keys(_new_secret(), _new_secret())
    for kind, secret in zip((ApplicationKey.KeyKind.WRITE, ApplicationKey.KeyKind.READ), keys, strict=True):
        ApplicationKey.objects.create(
            application=application, kind=kind, hint=secret[:4], created_at=now, **peppers.stored(secret)._asdict()
        )
    return keys


def _new_secret() -> str:
    return urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def find_key(application_id: str, secret: str, now: datetime) -> ApplicationKey | None:
    """The key with its application and owner, if it belongs to that application and has not ended."""
    secret = secret.rstrip("=")  # some clients add padding
    number = ids.decode("application", application_id)
    if number is None or not KEY_SHAPE.fullmatch(secret):
        return None
    known = ApplicationKey.objects.select_related("application__user").filter(
        Q(ends_at=None) | Q(ends_at__gt=now), key_hash__in=peppers.hashes(secret), application_id=number
    )
    key = known.filter(application__user__is_active=True).first()
    if key is not None:
        peppers.renew(key, secret)
    return key


def applications_of(user_id: int) -> QuerySet[Application]:
    """The user's applications, newest first."""
    return Application.objects.filter(user_id=user_id).order_by("-created_at", "-pk")


def find_application(user_id: int, published_id: str) -> Application:
    """The user's application of that published id; raises NotFound."""
    number = ids.decode("application", published_id)
    application = applications_of(user_id).filter(pk=number).first() if number is not None else None
    if application is None:
        raise NotFound
    return application
