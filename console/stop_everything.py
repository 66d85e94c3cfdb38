"""Stops everything that a customer can use, and undoes it.

Every active order is suspended and the account is deactivated, in one transaction with its audit records: a process
that dies leaves all of it or nothing. A deactivated account refuses the customer's API keys and those of their
applications, and its sessions and tokens end. Gateways learn of suspended orders from the cut-off feed and end running
connections.

The audit record and ``suspended_at`` of the stopped orders have the same time, so an undo resumes exactly those orders;
an order that was suspended before stays suspended. Orders bought or resumed later, or an account that is activated
again, can be stopped again; an undo then covers all stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts import audit_trail
from accounts.audit_trail import Actor
from accounts.models import ApiKey, Application, AuditRecord, User
from orders import enforcement
from orders import services as order_services
from orders.models import SESSION_SILENCE, Order, OrderStatus, ProxySession

STOPPED: Final = "stopped everything"
DEACTIVATED: Final = "deactivated by stopping"
RESUMED: Final = "resumed everything"


@dataclass(frozen=True, slots=True)
class Reach:
    """What a stop ends, or an undo restores."""

    orders: list[Order]
    logins: list[str]
    keys: list[ApiKey]
    applications: list[Application]
    sign_ins: int
    connections: int
    account: bool

    @property
    def is_empty(self) -> bool:
        return not (self.orders or self.account)


class NothingToDo(Exception):
    """Nothing of the customer is active, or nothing was stopped since the last undo."""


def reach(user: User, now: datetime) -> Reach:
    """What a stop would end now."""
    orders = [order for order in user.orders.order_by("pk") if order.status(now) == OrderStatus.ACTIVE]
    logins = _logins(orders)
    running = ProxySession.objects.filter(order__in=orders, ended_at=None, seen_at__gt=now - SESSION_SILENCE)
    return Reach(
        orders,
        logins,
        _keys(user, now) if user.is_active else [],
        list(user.applications.order_by("name")) if user.is_active else [],
        user.sessions.count() + user.token_families.count(),
        running.count(),
        account=user.is_active,
    )


def stop(user: User, staff: User, now: datetime) -> Reach:
    """Stops everything; returns what was stopped. Raises NothingToDo."""
    with transaction.atomic():
        _lock(user)
        stopped, actor = reach(user, now), Actor(staff.pk)
        if stopped.is_empty:
            raise NothingToDo
        for order in stopped.orders:
            order_services.suspend(order, now)
            audit_trail.record("suspended", AuditRecord.Kind.ORDER, order.pk, actor=actor, now=now)
        audit_trail.record(STOPPED, AuditRecord.Kind.USER, user.pk, actor=actor, now=now)
        if user.is_active:
            audit_trail.record(DEACTIVATED, AuditRecord.Kind.USER, user.pk, actor=actor, now=now)
            user.is_active = False
            user.save(update_fields=["is_active"])
    return stopped


def stops(user: User) -> QuerySet[AuditRecord]:
    """The records of stops since the last undo, newest first; each stopped what was active then."""
    of_user = AuditRecord.objects.filter(kind=AuditRecord.Kind.USER, number=user.pk).order_by("-pk")
    resumed = of_user.filter(action=RESUMED).first()
    return of_user.filter(action=STOPPED, pk__gt=resumed.pk if resumed else 0)


def undo_reach(user: User, now: datetime) -> Reach:
    """What an undo restores: orders that have not expired since, and the account if a stop deactivated it."""
    times = _times(user)
    orders = [order for order in _suspended(user, times) if order.status(now) == OrderStatus.SUSPENDED]
    account = not user.is_active and _was_deactivated_by(user, times)
    keys = _keys(user, now) if account else []
    applications = list(user.applications.order_by("name")) if account else []
    return Reach(orders, _logins(orders), keys, applications, 0, 0, account=account)


def undo(user: User, staff: User, now: datetime) -> Reach:
    """Restores what was stopped since the last undo; returns it. Raises NothingToDo if it has already been restored."""
    with transaction.atomic():
        _lock(user)
        resumed, actor = undo_reach(user, now), Actor(staff.pk)
        times = _times(user)
        if not times:
            raise NothingToDo
        for order in _suspended(user, times):
            if order.has_expired(now):  # otherwise a renewal would reactivate it as suspended
                order.suspended_at = None
                order.save(update_fields=["suspended_at"])
                enforcement.publish([order], now)
        for order in resumed.orders:
            order_services.resume(order, now)
            audit_trail.record("resumed", AuditRecord.Kind.ORDER, order.pk, actor=actor, now=now)
        audit_trail.record(RESUMED, AuditRecord.Kind.USER, user.pk, actor=actor, now=now)
        if resumed.account:
            user.is_active = True
            user.save(update_fields=["is_active"])
    return resumed


def _lock(user: User) -> None:
    """Locks the orders and then the account, and reads it again. One of two concurrent calls finds nothing to do."""
    list(user.orders.locked().order_by("pk"))
    user.refresh_from_db(from_queryset=User.objects.select_for_update(no_key=True))


def _times(user: User) -> list[datetime]:
    return list(stops(user).values_list("at", flat=True))


def _was_deactivated_by(user: User, times: list[datetime]) -> bool:
    """Whether one of these stops was the last to deactivate the account; staff may have done so for good since."""
    of_user = AuditRecord.objects.filter(kind=AuditRecord.Kind.USER, number=user.pk).order_by("-pk")
    last = of_user.filter(action__in=[DEACTIVATED, audit_trail.ACTIVATED, audit_trail.DEACTIVATED]).first()
    return last is not None and last.action == DEACTIVATED and last.at in times


def _suspended(user: User, times: list[datetime]) -> QuerySet[Order]:
    """The orders suspended by these stops, except those that billing has suspended since."""
    by_billing = AuditRecord.objects.filter(
        kind=AuditRecord.Kind.ORDER, number=OuterRef("pk"), action="suspend", at__gt=OuterRef("suspended_at")
    )
    return user.orders.filter(~Exists(by_billing), suspended_at__in=times).order_by("pk")


def _logins(orders: list[Order]) -> list[str]:
    found = Order.objects.filter(pk__in=[order.pk for order in orders], proxy_users__isnull=False)
    return list(found.order_by("proxy_users__login").values_list("proxy_users__login", flat=True))


def _keys(user: User, now: datetime) -> list[ApiKey]:
    return [key for key in user.api_keys.order_by("name") if key.is_active(now)]
