"""Deletes orders and ledgers when a customer is erased."""

from __future__ import annotations

from datetime import datetime

from accounts import erasure
from accounts.models import User
from orders import enforcement, events, proxy_users
from orders.models import CutOff, Erasure, LedgerEntry, Order, ProviderEvent, ProxyUser
from orders.services import CREDITS


def register() -> None:
    erasure.register(erasure.Phase.LOCK_OUT, stop_logins)
    erasure.register(erasure.Phase.RECORDS, erase_orders)


def stop_logins(user: User, now: datetime) -> dict[str, int]:
    """Publishes the erasure to gateways and deletes the logins."""
    orders = list(user.orders.locked().order_by("pk"))
    proxy_users.lock(orders)
    enforcement.publish_erased(orders, now)
    logins = ProxyUser.objects.filter(order__user=user)
    proxy_users.publish_removed(list(logins.values_list("login", flat=True)), now)
    audit_entries = erasure.delete_audit_entries({ProxyUser: logins})
    return {"audit_entries": audit_entries, "proxy_users": logins.delete()[0]}


def erase_orders(user: User, now: datetime) -> dict[str, int]:
    deleted_events = ProviderEvent.objects.filter(user_number=user.pk).delete()[1].get("orders.ProviderEvent", 0)
    events.record_erased(user, now)
    orders = Order.objects.filter(user=user)
    numbers = list(orders.values_list("pk", flat=True))
    # Allows the database's triggers to delete ledger entries of these orders.
    Erasure.objects.bulk_create([Erasure(order_id=number) for number in numbers], ignore_conflicts=True)
    # Staff post credits only; usage lines have no audit entries.
    posted = LedgerEntry.objects.filter(order__user=user, reason__in=CREDITS)
    erased = {
        "audit_entries": erasure.delete_audit_entries({Order: orders, LedgerEntry: posted}),
        "ledger_entries": LedgerEntry.objects.filter(order__in=numbers).delete()[0],
        "provider_events": deleted_events,
        "cut_offs": CutOff.objects.filter(order__in=numbers).delete()[0],
    }
    Erasure.objects.filter(order__in=numbers).delete()
    erased["orders"] = orders.delete()[1].get("orders.Order", 0)
    return erased
