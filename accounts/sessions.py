"""Sessions in the database, found by the hash of their key, so that a leaked table cannot be used to sign in."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.utils import timezone

from accounts import sign_in_policy
from accounts.models import Session
from fonproxy import sealing

SEEN_GRAIN: Final = timedelta(minutes=1)
FACTOR: Final = "second_factor"
PROVED_AT: Final = "proved_at"


class SessionStore(db.SessionStore):
    """Django's store, with hashed keys, and with age and idle limits for sessions of staff."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def load(self) -> dict[str, Any]:
        now = timezone.now()
        row = self._rows(self.session_key, now).select_related("user").first()
        if row is None or not _is_alive(row, now):
            self._session_key = None
            return {}
        if row.seen_at < now - SEEN_GRAIN:
            Session.objects.filter(pk=row.pk).update(seen_at=now)
        return self.decode(row.session_data)

    def encode(self, session_dict: dict[str, Any]) -> str:
        """Encrypted, because a session can contain the token of an opened password link."""
        return sealing.seal(super().encode(session_dict))

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        try:
            return super().decode(sealing.unseal(session_data))
        except sealing.Unreadable:
            # Encrypted under another secret key, or stored unencrypted by an earlier version: signed out.
            return {}

    def exists(self, session_key: str | None = None) -> bool:
        return bool(self._rows(session_key).exists())

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]  # not in the stubs
        now = timezone.now()
        columns = {
            "session_data": self.encode(data),
            "expire_date": self.get_expiry_date(),
            "user_id": data.get(SESSION_KEY),
            "has_factor": bool(data.get(FACTOR)),
            "user_agent": data.get("user_agent", "")[:200],
            "seen_at": now,
        }
        name = hashed(self.session_key)
        if must_create:
            Session.objects.create(session_key=name, created_at=now, **columns)
        elif not Session.objects.filter(session_key=name).update(**columns):
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        self._rows(session_key or self.session_key).delete()

    def _rows(self, session_key: str | None, now: datetime | None = None) -> Any:
        rows = Session.objects.filter(session_key=hashed(session_key or ""))
        return rows if now is None else rows.filter(expire_date__gt=now)


def hashed(session_key: str) -> str:
    """An unsalted hash is enough for 165 random bits."""
    return hashlib.sha256(session_key.encode("utf-8", "surrogatepass")).hexdigest()


def _is_alive(row: Session, now: datetime) -> bool:
    if row.user is None:
        return True
    if not sign_in_policy.still_holds(row.user, began_at=row.created_at, has_factor=row.has_factor, now=now):
        return False
    return not row.user.has_powers or now < row.seen_at + sign_in_policy.STAFF_IDLE
