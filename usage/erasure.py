"""Deletes alerts and reports when a customer is erased."""

from __future__ import annotations

from datetime import datetime

from accounts import erasure
from accounts.models import User
from usage.models import Alert, ReportSubscription


def register() -> None:
    erasure.register(erasure.Phase.RECORDS, erase_alerts)


def erase_alerts(user: User, now: datetime) -> dict[str, int]:
    alerts = Alert.objects.filter(order__user=user)
    subscriptions = ReportSubscription.objects.filter(user=user)
    return {
        "audit_entries": erasure.delete_audit_entries({Alert: alerts}),
        "report_subscriptions": subscriptions.delete()[1].get("usage.ReportSubscription", 0),
        "alerts": alerts.delete()[1].get("usage.Alert", 0),
    }
