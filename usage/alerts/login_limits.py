"""Alerts about the limits of single proxy users.

An alert fires once per proxy user, limit and day or month; ``LoginMark`` records that. A firing lists all proxy users
that reached the threshold since the last evaluation, so a hundred of them cause one message.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F

from fonproxy.timerange import UTC_ZONE
from orders.limits import Used, Windows
from orders.models import ProxyUser, has_expired
from usage import limits
from usage.alerts import evaluation
from usage.alerts.thresholds import Figures, ReachedLimit, reached_limits
from usage.models import Alert, AlertKind, LimitName, LoginMark
from usage.periods import stamp

log = logging.getLogger(__name__)


class _LoginAtLimit(NamedTuple):
    """A proxy user, and the limit of which it has used the alert's percentage."""

    user: ProxyUser
    limit: ReachedLimit


def evaluate(now: datetime) -> int:
    """Fires alerts about proxy users; returns the number fired. Raises EngineError.

    Alerts are read before the marks, and each firing changes its alert, so only one of several evaluators fires it.
    """
    alerts = list(Alert.objects.filter(~has_expired(now, "order__"), kind=AlertKind.LOGIN_PERCENT).order_by("pk"))
    if not alerts:
        return 0
    users = _limited({alert.order_id for alert in alerts})
    used = limits.used_by(users, now, ever=any(user.limits.total for user in users))
    by_order: defaultdict[int, list[ProxyUser]] = defaultdict(list)
    for user in users:
        by_order[user.order_id].append(user)
    fired = 0
    for alert in alerts:
        try:
            fired += _fire(alert, _unmarked(alert, _reached(alert, by_order[alert.order_id], used, now)), now)
        except Exception:
            log.exception("alert %s could not be evaluated", alert.pk)
    return fired


def explain(alert: Alert, now: datetime) -> str:
    """A sentence about the alert's next evaluation, for staff. Raises EngineError."""
    users = _limited({alert.order_id})
    reached = _reached(alert, users, limits.used_by(users, now), now)
    sentence = (
        f"Of {len(users)} proxy users with limits, {len({each.user.pk for each in reached})} reached the threshold"
    )
    if _unmarked(alert, reached):
        return f"{sentence}: it fires at the next evaluation, within a minute if the job evaluate-alerts runs."
    return f"{sentence}; it has fired about these." if reached else f"{sentence} ({alert.condition})."


def _limited(orders: Collection[int]) -> list[ProxyUser]:
    """The proxy users of the orders that have a limit, with their orders."""
    found = ProxyUser.objects.filter(order__in=orders, limits_due_at__isnull=False).select_related("order")
    return [user for user in found.order_by("login") if any(user.limits)]


def _reached(alert: Alert, users: Iterable[ProxyUser], used: dict[int, Used], now: datetime) -> list[_LoginAtLimit]:
    return [
        _LoginAtLimit(user, limit)
        for user in users
        for limit in reached_limits(
            user.limits, used.get(user.pk, Used()), Windows.at(now, user.order.zone), alert.threshold
        )
    ]


def _unmarked(alert: Alert, reached: list[_LoginAtLimit]) -> list[_LoginAtLimit]:
    """The reached limits for which the alert has not fired yet."""
    marks = {(mark.proxy_user_id, mark.limit_name): mark for mark in alert.login_marks.all()} if reached else {}
    found = []
    for each in reached:
        mark = marks.get((each.user.pk, each.limit.name))
        if mark is None or not _covers(mark, each.limit, alert.threshold):
            found.append(each)
    return found


def _covers(mark: LoginMark, limit: ReachedLimit, threshold: int) -> bool:
    """Whether the alert has fired for the same limit and period at this threshold or a higher one."""
    is_same = (mark.began_at, mark.limit_bytes) == (limit.began_at, limit.limit)
    return is_same and mark.threshold >= threshold


def _fire(alert: Alert, reached: list[_LoginAtLimit], now: datetime) -> int:
    """Fires the alert; returns 0 if nothing is new, it has changed or another evaluator was faster, else 1."""
    if not reached:
        return 0
    with transaction.atomic():
        as_read = Alert.objects.filter(pk=alert.pk, arming=alert.arming, threshold=alert.threshold)
        if not as_read.update(arming=F("arming") + 1, last_fired_at=now):
            return 0
        LoginMark.objects.bulk_create(
            [_mark(alert, each) for each in reached],
            update_conflicts=True,
            unique_fields=["alert", "proxy_user", "limit_name"],
            update_fields=["limit_bytes", "began_at", "threshold"],
        )
        current = Alert.objects.select_related("order__user").get(pk=alert.pk)
        firing = evaluation.firing_of(current, Figures(), now)
        firing.arming = alert.arming
        firing.logins = [figures_of(each.user.login, each.limit) for each in reached]
        evaluation.store(firing, evaluation.targets_of(current), now)
    return 1


def _mark(alert: Alert, each: _LoginAtLimit) -> LoginMark:
    return LoginMark(
        alert=alert,
        proxy_user=each.user,
        limit_name=each.limit.name,
        limit_bytes=each.limit.limit,
        began_at=each.limit.began_at,
        threshold=alert.threshold,
    )


def figures_of(login: str, reached: ReachedLimit) -> dict[str, Any]:
    """An entry of a firing's ``logins``; the percentage is rounded down, like that of a firing."""
    return {
        "login": login,
        "limit": LimitName(reached.name).value,
        "used_percent": reached.used * 1000 // reached.limit / 10,
        "used_bytes": reached.used,
        "limit_bytes": reached.limit,
        "resets_at": stamp(reached.resets_at, UTC_ZONE) if reached.resets_at else None,
    }
