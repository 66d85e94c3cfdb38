"""The audit trail: who changed which account. It stores numbers only, so erasing a customer leaves it unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from rest_framework.request import Request

from accounts.models import ApiKey, AuditRecord, User

ACTIVATED: Final = "activated"
DEACTIVATED: Final = "deactivated"


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, and the API key if the change was made with one. Both are None for a shell command."""

    user_id: int | None = None
    key_id: int | None = None

    @classmethod
    def of(cls, request: Request) -> Actor:
        return cls(request.user.pk, request.auth.pk if isinstance(request.auth, ApiKey) else None)


def record(action: str, kind: AuditRecord.Kind, number: int, *, actor: Actor, now: datetime) -> None:
    """Adds a row. Call it in the transaction of the change, so that both are stored or neither."""
    AuditRecord.objects.create(
        at=now, action=action, kind=kind, number=number, actor_id=actor.user_id, key_id=actor.key_id
    )


class Author(NamedTuple):
    """The author of a row, as text; a number when the user or the key is deleted."""

    user: str
    key: str


def authors_of(rows: Iterable[AuditRecord]) -> dict[int, Author]:
    """The author of each row by its number; two queries however many there are."""
    rows = list(rows)
    users = User.objects.in_bulk({row.actor_id for row in rows if row.actor_id})
    keys = ApiKey.objects.in_bulk({row.key_id for row in rows if row.key_id})
    return {row.pk: Author(_name(row.actor_id, users), _name(row.key_id, keys)) for row in rows}


def _name(number: int | None, found: dict[int, User] | dict[int, ApiKey]) -> str:
    return "" if number is None else str(found.get(number, f"{number} (deleted)"))
