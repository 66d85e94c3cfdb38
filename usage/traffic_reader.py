"""The usage of orders and logins, for the orders app, which cannot read the traffic tables."""

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
        """Total bytes of each order before that instant, including batches that are not accounted for yet.

        Orders with unaccounted imported history are left out, because metering excludes history from the current
        period. While ClickHouse is unavailable all orders are left out, so that renewals do not wait for it.
        """
        try:
            used = reports.bytes_between(orders, EPOCH, at)
        except EngineUnavailable as error:
            log.warning("orders are renewed by their ledgers alone: %s", error)
            return {}
        history = (
            dirty_days.orders_with_history()
        )  # read after the query, because a batch is journaled before the engine has it
        return {order_id: size for order_id, size in used.items() if order_id not in history}

    def used_by(self, users: Collection[ProxyUser], now: datetime) -> dict[int, Used]:
        return limits.used_by(users, now)
