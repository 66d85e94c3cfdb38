"""Changes of proxy users. Each takes a number, by which gateways follow the changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet
from rest_framework.exceptions import NotFound

from fonproxy.api.errors import Conflict
from orders import enforcement, events, passwords
from orders.limits import AT_ONCE, FOREVER
from orders.models import EventType, Order, ProxyUser, RemovedLogin

Settings = Mapping[str, Any]
"""A subset of SETTINGS; missing ones stay unchanged."""

LIMITS: Final = {
    "dayBytes": "day_limit_bytes",
    "monthBytes": "month_limit_bytes",
    "totalBytes": "total_limit_bytes",
}
SETTINGS: Final = ("verifier", "allowed_ips", "max_connections", *LIMITS.values())


def put(order: Order, wanted: Mapping[str, Settings], now: datetime) -> None:
    """Gives the order exactly these logins with these settings; the caller holds the order's lock.

    A setting equal to that of the last PUT is not applied, so that repeating an old PUT does not undo a later change.
    Raises Conflict when a login belongs to another order.
    """
    taken = ProxyUser.objects.filter(login__in=wanted).exclude(order=order).values_list("login", flat=True)
    if taken:
        raise Conflict(f"The proxy user {sorted(taken)[0]!r} belongs to another order.")
    current = {user.login: user for user in order.proxy_users.select_for_update().order_by("pk")}
    gone = [user for login, user in current.items() if login not in wanted]
    new = [ProxyUser(order=order, login=login) for login in sorted(wanted.keys() - current.keys())]
    for user in new:
        _apply(user, wanted[user.login])
    changed = [user for login, user in sorted(current.items()) if login in wanted and _apply(user, wanted[login])]
    remove(gone, now)
    ProxyUser.objects.bulk_create(new)
    ProxyUser.objects.bulk_update(changed, [*SETTINGS, "limits_due_at", "last_put"], batch_size=500)
    enforcement.publish_logins(order, set(current), set(wanted), now)
    publish([*new, *changed])


def lock(orders: Collection[Order]) -> None:
    """Locks the logins of locked orders.

    Everywhere, orders are locked before logins, and both before the counter of published changes: otherwise two
    transactions could deadlock. ``Order.objects.locked`` says how orders are locked.
    """
    list(ProxyUser.objects.select_for_update().filter(order__in=orders).order_by("pk").values_list("pk"))


def _locked(users: QuerySet[ProxyUser]) -> list[ProxyUser]:
    """These logins, locked after their orders."""
    orders = Order.objects.filter(pk__in=list(users.values_list("order", flat=True)))
    list(orders.locked().order_by("pk").values_list("pk"))
    return list(users.select_for_update().order_by("pk"))


def _apply(user: ProxyUser, settings: Settings) -> bool:
    """Applies settings that differ from the last PUT; returns whether there is anything to save."""
    fresh = {
        name: value for name, value in settings.items() if name not in user.last_put or user.last_put[name] != value
    }
    _set(user, fresh)
    user.last_put = {**user.last_put, **fresh}
    return bool(fresh)


def _set(user: ProxyUser, settings: Settings) -> None:
    """Sets the values.

    Limits are checked within seconds, because usage is in the traffic tables, which this app cannot read.
    """
    for name, value in settings.items():
        setattr(user, name, value)
    if not settings.keys().isdisjoint(LIMITS.values()):
        user.limits_due_at = AT_ONCE


def change(user: ProxyUser, settings: Settings) -> ProxyUser:
    """The proxy user with these settings; raises NotFound for one that was deleted concurrently."""
    with transaction.atomic():
        found = _locked(ProxyUser.objects.filter(pk=user.pk))
        if not found:
            raise NotFound
        [current] = found
        _set(current, settings)
        current.save(update_fields=[*settings, "limits_due_at"])
        publish([current])
    return current


def change_by_owner(user: ProxyUser, given: Mapping[str, Any]) -> tuple[ProxyUser, str | None]:
    """Applies the customer's changes; returns the proxy user, and the password if it was generated.

    ``given`` has some of ``password``, ``allowedIps`` and ``limits``, validated; a password of None requests a
    generated one.
    """
    settings = limits_of(given)
    generated = passwords.generate() if given.get("password", "") is None else None
    if "password" in given:
        settings["verifier"] = passwords.verifier_of(generated or given["password"])
    if "allowedIps" in given:
        settings["allowed_ips"] = given["allowedIps"]
    return (change(user, settings) if settings else user), generated


def limits_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in ``limits`` of a body; missing ones stay unchanged."""
    return {LIMITS[name]: value for name, value in given.get("limits", {}).items()}


def save(user: ProxyUser, now: datetime) -> None:
    """Saves a proxy user edited by staff, possibly with another login or order, and publishes the effects."""
    with transaction.atomic():
        orders = Order.objects.filter(Q(proxy_users=user.pk) | Q(pk=user.order_id))
        rows = Order.objects.locked().filter(pk__in=orders.values("pk"))
        list(rows.order_by("pk").values_list("pk"))
        before = ProxyUser.objects.select_for_update().filter(pk=user.pk).first()
        if before is None or (before.limits, before.order_id) != (user.limits, user.order_id):
            user.limits_due_at = AT_ONCE
        user.save()
        if before is None or before.order_id != user.order_id or before.login != user.login:
            if before is not None:
                enforcement.publish_logins(before.order, {before.login}, set(), now)
            enforcement.publish_logins(user.order, set(), {user.login}, now)
        if before is not None and before.login != user.login:
            publish_removed([before.login], now)
            if before.stopped_until is not None:
                enforcement.remember_stopped([before.login], now)
                _publish_stops([user], now)
        publish([user])


def stop(ends: Mapping[ProxyUser, datetime | None], due_at: Mapping[ProxyUser, datetime | None], now: datetime) -> None:
    """Stops each login until the given time, or releases it for None, and publishes the changes; the rows are locked.

    ``due_at`` is the time of the next check of its limits.
    """
    changed = [user for user, end in ends.items() if (user.stopped_until is None) != (end is None)]
    stale = [user for user, end in ends.items() if (user.stopped_until, user.limits_due_at) != (end, due_at[user])]
    for user in stale:
        user.stopped_until, user.limits_due_at = ends[user], due_at[user]
    ProxyUser.objects.bulk_update(stale, ["stopped_until", "limits_due_at"], batch_size=500)
    _publish_stops(changed, now)
    for user in changed:
        if (end := ends[user]) is not None:
            until = None if end == FOREVER else end.isoformat()
            events.record(EventType.PROXY_USER_EXHAUSTED, user.order, now, login=user.login, until=until)


def release_over(now: datetime) -> int:
    """Releases the logins whose day or month has ended; returns their number. Their limits are checked afterwards."""
    due = ProxyUser.objects.filter(stopped_until__lte=now)
    if not due.exists():
        return 0
    with transaction.atomic():
        over = _locked(due)
        stop(dict.fromkeys(over), {user: user.limits_due_at for user in over}, now)
    return len(over)


def _publish_stops(users: Collection[ProxyUser], now: datetime) -> None:
    """Publishes to both feeds: that of stopped logins and that of all logins' states."""
    publish(users)
    for user in users:
        user.stop_number, user.stop_changed_at = user.number, now
    ProxyUser.objects.bulk_update(users, ["stop_number", "stop_changed_at"], batch_size=500)


def publish(users: Collection[ProxyUser]) -> None:
    """Gives each login a new number and drops earlier records of its deletion; in the transaction of the change."""
    if users:
        RemovedLogin.objects.filter(login__in=[user.login for user in users]).delete()
        for number, user in enumerate(users, enforcement.allocate_numbers(len(users))):
            user.number = number
        ProxyUser.objects.bulk_update(users, ["number"], batch_size=500)


def remove(users: Collection[ProxyUser], now: datetime) -> None:
    """Deletes the logins and publishes that, in one transaction."""
    if not users:
        return
    with transaction.atomic():
        enforcement.remember_stopped([user.login for user in users if user.stopped_until is not None], now)
        ProxyUser.objects.filter(pk__in=[user.pk for user in users]).delete()
        publish_removed([user.login for user in users], now)


def publish_removed(logins: Collection[str], now: datetime) -> None:
    """Publishes that the logins are gone; in the transaction that deletes them."""
    rows = [
        RemovedLogin(login=login, number=number, removed_at=now)
        for number, login in enumerate(sorted(logins), enforcement.allocate_numbers(len(logins)) if logins else 0)
    ]
    RemovedLogin.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["login"], update_fields=["number", "removed_at"]
    )
