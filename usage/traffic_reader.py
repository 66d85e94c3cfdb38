"""What orders and logins have used, for the orders app, which cannot read the traffic tables."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import datetime

from analytics import reports
from analytics.ingest import dirty_days
from fonproxy.clickhouse.errors import EngineUnavailable
from fonproxy.timerange import EPOCH
from orders.limits import Used
from orders.models import ProxyUser
from usage import limits

log = logging.getLogger(__name__)


class TrafficTables:
    def used_before(self, orders: Mapping[int, int], at: datetime) -> dict[int, int]:
        """Bytes that each order ever used before that instant, also of batches that are not accounted for yet.

        Orders with imported history that is not accounted for are left out: metering leaves history out of the period
        that runs then. All are left out while the engine is unavailable, so that no renewal waits for it.
        """
        try:
            used = reports.bytes_between(orders, EPOCH, at)
        except EngineUnavailable as error:
            log.warning("orders are renewed by their ledgers alone: %s", error)
            return {}
        history = dirty_days.orders_with_history()  # after the query: a batch is journaled before the engine has it
        return {order_id: size for order_id, size in used.items() if order_id not in history}

    def used_by(self, users: Collection[ProxyUser], now: datetime) -> dict[int, Used]:
        return limits.used_by(users, now)
