"""Requests served by a proxy, and the two ways of pushing them: singly, or aggregated."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import get_client
from orders.models import Order
from tests.contract.present import NOW


@dataclass(frozen=True)
class Sent:
    """A request of the model."""

    at: datetime
    order: Order
    login: str
    hostname: str = "a.example"
    error: str = ""
    size: int = 100
    concurrency: int = 1

    @property
    def network(self) -> str:
        return self.order.product.network


def push_raw(requests: Iterable[Sent], now: datetime = NOW) -> None:
    rows = [
        {
            "log_request_datetime": sent.at.isoformat(),
            "proxy_user_id": sent.login,
            "log_hostname": sent.hostname,
            "log_error": sent.error,
            "log_bytes_sent": sent.size // 4,
            "log_bytes_received": sent.size - sent.size // 4,
            "log_concurrency": sent.concurrency,
        }
        for sent in requests
    ]
    table = to_request_inbox(json.dumps({"logs": rows}).encode(), now)
    get_client().insert("request_inbox", table, token=uuid.uuid4().hex)


def push_added_up(requests: Iterable[Sent], now: datetime = NOW) -> None:
    rows = [
        {
            "ts": sent.at.isoformat(),
            "proxy_user": sent.login,
            "domain": sent.hostname,
            "error": sent.error,
            "count": 1,
            "error_count": int(sent.error != ""),
            "bytes_sent": sent.size // 4,
            "bytes_received": sent.size - sent.size // 4,
            "max_concurrency": sent.concurrency,
        }
        for sent in requests
    ]
    table = to_inbox(json.dumps({"logs": rows}).encode(), now)
    get_client().insert("inbox", table, token=uuid.uuid4().hex)
