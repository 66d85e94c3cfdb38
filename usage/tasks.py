"""Scheduled tasks of ledgers and alerts. Each may run at any time, any number of times, in any process."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from fonproxy.clickhouse.errors import EngineUnavailable
from orders import enforcement, proxy_users, renewals
from orders import services as order_services
from usage import limits, metering, reconciliation
from usage.alerts import deliveries, evaluation, login_limits, test_delivery
from usage.reports import services as report_services

log = logging.getLogger(__name__)


@shared_task
def keep_accounts() -> bool:
    """Closes expired orders, updates ledgers from traffic, publishes cut-offs and limits; False without ClickHouse."""
    now = timezone.now()
    order_services.close_expired(now)
    enforcement.publish_overdue(now)
    proxy_users.release_over(now)
    try:
        metering.post_usage(timezone.now())
        limits.check_due(timezone.now())  # posting may have taken minutes
    except EngineUnavailable as error:
        log.info("usage is posted when the engine is back: %s", error)
        return False
    return True


@shared_task
def renew_orders() -> None:
    """Renews orders with a recurring period at the boundaries that have passed."""
    if renewed := renewals.renew_due(timezone.now()):
        log.info("orders renewed", extra={"orders": renewed})


@shared_task
def evaluate_alerts() -> bool:
    """Fires and rearms alerts; False without ClickHouse."""
    try:
        now = timezone.now()
        if fired := evaluation.evaluate(now) + login_limits.evaluate(now):
            log.info("alerts fired", extra={"alerts": fired})
    except EngineUnavailable as error:
        log.info("alerts are evaluated when the engine is back: %s", error)
        return False
    return True


@shared_task
def send_alerts() -> None:
    """Sends due deliveries."""
    deliveries.send_due()


@shared_task
def send_tests() -> None:
    """Sends the queued tests of alerts."""
    test_delivery.send_due()


@shared_task
def send_reports() -> None:
    """Creates the reports that are due, and sends them."""
    report_services.plan(timezone.now())
    report_services.send_due()


@shared_task
def reconcile_ledgers() -> None:
    """Compares every ledger with the traffic tables and corrects differences."""
    enforcement.forget_erased(timezone.now())
    reconciliation.reconcile(timezone.now())
