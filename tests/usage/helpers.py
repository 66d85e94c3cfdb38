"""Carrying traffic for an order and reading its account."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Any

import msgspec

from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from orders import ledger
from orders.models import CutOff, LedgerEntry, LedgerReason, Order
from usage import metering


def carry(order: Order, at: datetime, size: int, requests: int = 1, errors: int = 0) -> None:
    """Traffic as a worker pushes it, until it is durable and counted."""
    row = {
        "ts": f"{at:%Y-%m-%d %H:%M:%S}",
        "user_id": order.user_id,
        "order_id": order.pk,
        "count": requests,
        "error_count": errors,
        "bytes_received": size,
    }
    body = msgspec.json.encode({"logs": [row]})
    ingest_service.accept(body, to_inbox, account_id=order.user_id, route=IngestBatch.Route.TRAFFIC, key=None, now=at)


def carry_and_post(order: Order, at: datetime, size: int, now: datetime | None = None) -> None:
    carry(order, at, size)
    metering.post_usage(now or at)


def credits_of(order: Order) -> list[tuple[str, int]]:
    entries = LedgerEntry.objects.filter(order=order).exclude(reason=LedgerReason.USAGE).order_by("pk")
    return [(entry.reason, entry.bytes) for entry in entries]


def carried(order: Order) -> Counter[date]:
    lines = LedgerEntry.objects.filter(order=order, reason=LedgerReason.USAGE)
    return Counter({line.period_date: -line.bytes for line in lines})


def published(order: Order) -> str:
    cut_off = CutOff.objects.filter(order=order).first()
    return cut_off.state if cut_off else "active"


def figures(order: Order) -> dict[str, Any]:
    order.refresh_from_db()
    return {
        "credits": credits_of(order),
        "carried": +carried(order),
        "balance": ledger.balance(order),
        "limit": order.limit_bytes,
        "published": published(order),
    }
