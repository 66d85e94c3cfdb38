"""Erasing a customer: each app registers what it deletes, and the steps run in a fixed order of phases.

If the process dies between two phases, calling ``erase`` again continues from there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from accounts.audit_trail import Actor, record
from accounts.models import ApiKey, Application, AuditRecord, Invitation, User
from fonproxy.api.errors import Conflict

Step = Callable[[User, datetime], dict[str, int]]
"""Deletes rows of the customer; returns their number by table."""


class Phase(Enum):
    LOCK_OUT = "ends every way to sign in or to use a proxy; one transaction"
    TRAFFIC = "deletes from ClickHouse; may raise Unavailable while traffic is still being inserted"
    RECORDS = "deletes from the relational database; one transaction"


_steps: dict[Phase, list[Step]] = {phase: [] for phase in Phase}


def register(phase: Phase, step: Step) -> None:
    """Adds an app's step. Apps registered later run first, because their rows refer to rows of the apps below them."""
    _steps[phase].insert(0, step)


def erase(user: User, now: datetime, actor: Actor) -> dict[str, int]:
    """Deletes all data of the customer; returns the number of deleted rows by table.

    Raises Conflict for a member of staff, Unavailable while traffic of the customer is still being inserted or when
    ClickHouse did not delete everything, and EngineError when ClickHouse is unavailable.
    """
    if user.has_powers:
        raise Conflict("Staff accounts cannot be erased: remove the staff status first.")
    if LogEntry.objects.filter(user=user).exists():
        raise Conflict("The audit log has entries by this user: deactivate the account instead.")
    erased: dict[str, int] = {}
    number = user.pk
    with transaction.atomic():
        record("erasure begun", AuditRecord.Kind.USER, number, actor=actor, now=now)
        _run(Phase.LOCK_OUT, user, now, erased)
        user.is_active = False
        user.save(update_fields=["is_active"])
    _run(Phase.TRAFFIC, user, now, erased)
    with transaction.atomic():
        _run(Phase.RECORDS, user, now, erased)
        _add(erased, _erase_account(user))
        record("erased", AuditRecord.Kind.USER, number, actor=actor, now=now)
    return erased


def delete_audit_entries(subjects: dict[type[Model], QuerySet[Any]]) -> int:
    """Deletes the audit log entries about these rows, which contain their names and values; returns their number."""
    about = Q(pk__in=[])
    for model, rows in subjects.items():
        numbers = [str(number) for number in rows.values_list("pk", flat=True)]
        about |= Q(content_type=ContentType.objects.get_for_model(model), object_id__in=numbers)
    return LogEntry.objects.filter(about).delete()[0]


def _erase_account(user: User) -> dict[str, int]:
    keys = ApiKey.objects.filter(user=user)
    applications = Application.objects.filter(user=user)
    audited: dict[type[Model], QuerySet[Any]] = {
        User: User.objects.filter(pk=user.pk),
        Application: applications,
        ApiKey: keys,
    }
    if user.email:
        Invitation.objects.filter(address__iexact=user.email).delete()  # memberships in teams of others
    return {
        "audit_entries": delete_audit_entries(audited),
        "api_keys": keys.delete()[0],
        "applications": applications.delete()[1].get("accounts.Application", 0),
        "users": user.delete()[1].get("accounts.User", 0),
    }


def _run(phase: Phase, user: User, now: datetime, erased: dict[str, int]) -> None:
    for step in _steps[phase]:
        _add(erased, step(user, now))


def _add(erased: dict[str, int], more: dict[str, int]) -> None:
    for table, rows in more.items():
        erased[table] = erased.get(table, 0) + rows
