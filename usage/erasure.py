"""Erases a customer from both stores, and makes sure of it.

The engine goes first and the customer itself last, so that a process that dies anywhere leaves somebody to name when
it is done again. Nothing new can arrive meanwhile: the logins go before everything else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from rest_framework.exceptions import NotFound

from accounts.models import ApiKey, Application, Order, ProxyUser, User
from analytics import erasure as engine
from analytics import touched
from analytics.models import Batch
from fonproxy.api.errors import Conflict, Unavailable
from usage import cut_off
from usage.models import Alert, CutOff, Erasure, LedgerEntry
from usage.orders import CREDITS


def find_customer(external_id: str) -> User:
    """The customer of that external id; raises NotFound."""
    user = User.objects.filter(external_id=external_id).first() if "\0" not in external_id else None
    if user is None:
        raise NotFound
    return user


def erase(user: User, now: datetime) -> dict[str, int]:
    """Deletes all that is known of the customer; returns how many rows were deleted, by table.

    Raises Conflict for a member of staff, Unavailable while traffic of the customer is still on its way to the engine
    or when the engine did not delete everything, EngineError when it is away.
    """
    if user.is_staff:
        raise Conflict("A member of staff is not erased: take the staff status first.")
    if LogEntry.objects.filter(user=user).exists():
        raise Conflict(
            "Who changed something as a member of staff stays in the audit log: deactivate the user instead."
        )
    logins = _lock_out(user, now)
    _refuse_while_under_way(user)
    erased = engine.erase_account(user.pk)
    if any(engine.rows_held(user.pk).values()):
        raise Unavailable("Some traffic arrived while it was being erased: try again.", wait=5)
    return {**erased, "proxy_users": logins, **_erase_relational(user)}


def _lock_out(user: User, now: datetime) -> int:
    """Ends every way to sign in or to carry traffic, and tells the proxies; returns the number of logins."""
    with transaction.atomic():
        cut_off.publish_erased(list(user.orders.select_for_update().order_by("pk")), now)
        User.objects.filter(pk=user.pk).update(is_active=False)
        logins = ProxyUser.objects.filter(order__user=user)
        _audit_of({ProxyUser: logins}).delete()
        deleted, _ = logins.delete()
    return deleted


def _refuse_while_under_way(user: User) -> None:
    orders = set(Order.objects.filter(user=user).values_list("pk", flat=True))
    if orders & touched.orders_under_way() or Batch.objects.filter(account=user, settled_at=None).exists():
        raise Unavailable("Traffic of this customer is still on its way to ClickHouse: try again.", wait=5)


def _erase_relational(user: User) -> dict[str, int]:
    orders = Order.objects.filter(user=user)
    with transaction.atomic():
        numbers = list(orders.values_list("pk", flat=True))
        applications = list(Application.objects.filter(user=user).values_list("pk", flat=True))
        # Lets the database agree to the ledger's deletion.
        Erasure.objects.bulk_create([Erasure(order_id=number) for number in numbers], ignore_conflicts=True)
        erased = {
            "audit_entries": _audit_of(
                {
                    User: User.objects.filter(pk=user.pk),
                    Order: orders,
                    Application: Application.objects.filter(user=user),
                    ApiKey: ApiKey.objects.filter(user=user),
                    Alert: Alert.objects.filter(order__user=user),
                    # Those that staff can make; an order has one of the others for every day.
                    LedgerEntry: LedgerEntry.objects.filter(order__user=user, reason__in=CREDITS),
                }
            ).delete()[0],
            "ledger_entries": LedgerEntry.objects.filter(order__in=numbers).delete()[0],
            "cut_offs": CutOff.objects.filter(order__in=numbers).delete()[0],
            "api_keys": ApiKey.objects.filter(user=user).delete()[0],
            "applications": Application.objects.filter(pk__in=applications).delete()[1].get("accounts.Application", 0),
        }
        Erasure.objects.filter(order__in=numbers).delete()
        erased["orders"] = orders.delete()[1].get("accounts.Order", 0)
        erased["users"] = user.delete()[1].get("accounts.User", 0)
    return erased


def _audit_of(subjects: dict[type[Model], QuerySet[Any]]) -> QuerySet[LogEntry]:
    """What the audit log says of these rows: it has their names and values."""
    about = Q(pk__in=[])
    for model, rows in subjects.items():
        numbers = [str(number) for number in rows.values_list("pk", flat=True)]
        about |= Q(content_type=ContentType.objects.get_for_model(model), object_id__in=numbers)
    return LogEntry.objects.filter(about)
