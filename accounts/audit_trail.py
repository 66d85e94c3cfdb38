"""The audit trail: who changed whose account, by numbers only, so that erasures leave it alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rest_framework.request import Request

from accounts.models import ApiKey, AuditRecord

ACTIVATED: Final = "activated"
DEACTIVATED: Final = "deactivated"


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, and the API key that called for it if there was one. Neither for a command in a shell."""

    user_id: int | None = None
    key_id: int | None = None

    @classmethod
    def of(cls, request: Request) -> Actor:
        return cls(request.user.pk, request.auth.pk if isinstance(request.auth, ApiKey) else None)


def record(action: str, kind: AuditRecord.Kind, number: int, *, actor: Actor, now: datetime) -> None:
    """Adds a row; call it in the transaction of the change, so that neither is kept without the other."""
    AuditRecord.objects.create(
        at=now, action=action, kind=kind, number=number, actor_id=actor.user_id, key_id=actor.key_id
    )
