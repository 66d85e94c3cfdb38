"""What Celery beat asks of orders and ledgers. Each may run any number of times, anywhere."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from fonproxy.clickhouse.errors import EngineUnavailable
from usage import cut_off, orders, posting, reconciliation
from usage.alerts import deliveries, evaluation

log = logging.getLogger(__name__)


@shared_task
def keep_accounts() -> None:
    """Ends what has expired, counts what was carried, and publishes who has to stop."""
    now = timezone.now()
    orders.close_expired(now)
    cut_off.publish_overdue(now)
    try:
        posting.post_usage(now)
    except EngineUnavailable as error:
        log.info("usage is posted when the engine is back: %s", error)


@shared_task
def evaluate_alerts() -> None:
    """Fires the alerts whose orders have reached their thresholds."""
    try:
        if fired := evaluation.evaluate(timezone.now()):
            log.info("alerts fired", extra={"alerts": fired})
    except EngineUnavailable as error:
        log.info("alerts are evaluated when the engine is back: %s", error)


@shared_task
def send_alerts() -> None:
    """Delivers what has fired and is due."""
    deliveries.send_due()


@shared_task
def reconcile_ledgers() -> None:
    """Compares every ledger with the traffic tables, and sets right what differs."""
    cut_off.forget_erased(timezone.now())
    reconciliation.reconcile(timezone.now())
