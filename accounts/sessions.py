"""Sessions in the database, found by the hash of their key, so that a leaked table opens no session."""

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
    """Django's own store, with another name for each row, and the end of sessions of staff by age and idleness."""

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
        """Sealed: a session holds the token of an opened link that sets a password, among others."""
        return sealing.seal(super().encode(session_dict))

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        try:
            return super().decode(sealing.unseal(session_data))
        except sealing.Unreadable:  # under another secret key, or by a version that did not seal: signed out
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
    """A key is 165 random bits, so that a hash without salt cannot be guessed back."""
    return hashlib.sha256(session_key.encode("utf-8", "surrogatepass")).hexdigest()


def _is_alive(row: Session, now: datetime) -> bool:
    if row.user is None:
        return True
    if not sign_in_policy.still_holds(row.user, began_at=row.created_at, has_factor=row.has_factor, now=now):
        return False
    return not row.user.has_powers or now < row.seen_at + sign_in_policy.STAFF_IDLE
