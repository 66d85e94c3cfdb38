"""Subscriptions to reports, which reports are due, and sending them.

A report is stored before it is mailed: one row per customer and period, which a constraint ensures. It is delivered
like the messages of alerts (``fonproxy.delivery``), at least once.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from accounts.models import User
from fonproxy import delivery
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import midnight
from fonproxy.webhooks import DeliveryFailed
from usage.models import ReportDelivery, ReportSubscription
from usage.reports import mail

Frequency = ReportSubscription.Frequency

# Rows of a day may arrive later, and reports are read in the morning.
DELAY: Final = timedelta(hours=6)
DAY: Final = timedelta(days=1)


class ReportSpan(NamedTuple):
    """Days of a period; the last one is exclusive."""

    first: date
    end: date


def last_ended(every: str, now: datetime, zone: ZoneInfo) -> ReportSpan:
    """The latest week from Monday, or month, that ended at least six hours ago in the zone. Pure."""
    today = (now - DELAY).astimezone(zone).date()
    if every == Frequency.WEEK:
        end = today - DAY * today.weekday()
        return ReportSpan(end - 7 * DAY, end)
    end = today.replace(day=1)
    return ReportSpan((end - DAY).replace(day=1), end)


def subscribe(user: User, every: str | None, now: datetime) -> None:
    """Subscribes to weekly or monthly reports, from the current period on; None unsubscribes."""
    if every is None:
        ReportSubscription.objects.filter(user=user).delete()
        return
    made, is_new = ReportSubscription.objects.get_or_create(user=user, defaults={"every": every, "created_at": now})
    if not is_new and made.every != every:
        ReportSubscription.objects.filter(pk=made.pk).update(every=every, created_at=now)


def plan(now: datetime) -> int:
    """Creates the reports that are due; returns the number of new ones. Each customer gets only the latest period."""
    due = []
    active = ReportSubscription.objects.filter(user__is_active=True).exclude(user__email="").select_related("user")
    for subscription in active.iterator(chunk_size=1000):
        zone = subscription.user.zone
        span = last_ended(subscription.every, now, zone)
        if midnight(span.end, zone) > subscription.created_at:
            due.append(
                ReportDelivery(subscription=subscription, starts_on=span.first, ends_on=span.end, next_attempt_at=now)
            )
    before = ReportDelivery.objects.count()
    ReportDelivery.objects.bulk_create(due, ignore_conflicts=True, batch_size=500)
    return ReportDelivery.objects.count() - before


def send_due() -> int:
    """Tries all due reports; returns the number sent."""
    due = delivery.due(ReportDelivery.objects.all(), "subscription_id")
    return delivery.send_all([due], attempt, threads=2)


def attempt(number: int) -> bool:
    """Makes one attempt; True if the report was sent."""
    return delivery.attempt(ReportDelivery.objects.select_related("subscription__user"), number, _send)


def _send(row: ReportDelivery, now: datetime) -> None:
    try:
        mail.send(row)
    except EngineError:
        raise DeliveryFailed("ClickHouse is unavailable.") from None
