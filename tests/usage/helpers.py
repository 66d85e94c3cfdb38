"""Carrying traffic for an order and reading its account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec
from django.utils import timezone

from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import history_to_inbox, to_inbox
from orders import ledger
from orders.models import CutOff, LedgerEntry, LedgerReason, Order
from usage import metering


def carry(order: Order, at: datetime, size: int, requests: int = 1, errors: int = 0) -> None:
    """Traffic as a worker pushes it, until it is durable and counted."""
    body = _body([_row(order, at, size) | {"count": requests, "error_count": errors}])
    ingest_service.accept(body, to_inbox, account_id=order.user_id, route=IngestBatch.Route.TRAFFIC, key=None, now=at)


def import_history(traffic: Iterable[tuple[Order, datetime, int]]) -> None:
    """One batch of an import, with a row for each order, time and number of bytes."""
    body = _body([_row(*each) for each in traffic])
    route = IngestBatch.Route.HISTORY
    ingest_service.accept(body, history_to_inbox, account_id=None, route=route, key=None, now=timezone.now())


def _row(order: Order, at: datetime, size: int) -> dict[str, Any]:
    return {
        "ts": f"{at:%Y-%m-%d %H:%M:%S}",
        "user_id": order.user_id,
        "order_id": order.pk,
        "count": 1,
        "bytes_received": size,
    }


def _body(rows: list[dict[str, Any]]) -> bytes:
    return msgspec.json.encode({"logs": rows})


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
