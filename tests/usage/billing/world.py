"""Traffic of several customers by every ingestion route, and its totals in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from accounts.models import User
from analytics.byteful.log.ingest_columns import to_request_inbox as log_to_inbox
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import history_to_inbox, to_inbox
from orders.models import Network, Order
from usage import metering

DAYS = 58
MEASURES = ("bytesSent", "bytesReceived", "requests", "errors")


@dataclass(frozen=True)
class PushedLine:
    """One pushed row; ``order`` is None where user and order do not match."""

    user_id: int
    order_id: int
    order: Order | None
    login: str
    worker: str
    at: datetime
    measures: tuple[int, int, int, int]


@dataclass
class BillingWorld:
    """``lines`` has everything that was pushed."""

    now: datetime
    users: list[User]
    orders: list[Order]
    lines: list[PushedLine] = field(default_factory=list)

    @property
    def start(self) -> datetime:
        return self.now - timedelta(days=DAYS)

    def expected(
        self, group: str, start: datetime, end: datetime, by_day: ZoneInfo | None = None
    ) -> dict[tuple[Any, ...], list[Any]]:
        """Measures with first and last bucket, by key and day."""
        sums: dict[tuple[Any, ...], list[Any]] = {}
        for line in self.lines:
            bucket = line.at.replace(minute=line.at.minute // 15 * 15, second=0, microsecond=0)
            if not start <= bucket < end:
                continue
            day = f"{bucket.astimezone(by_day):%Y-%m-%d}" if by_day else None
            key = (*_key(line, group), line.order is not None, day)
            found = sums.setdefault(key, [0, 0, 0, 0, bucket, bucket])
            sums[key] = [
                *(a + b for a, b in zip(found[:4], line.measures, strict=True)),
                min(found[4], bucket),
                max(found[5], bucket),
            ]
        return sums


def _key(line: PushedLine, group: str) -> tuple[Any, ...]:
    match group:
        case "order":
            return line.user_id, line.order_id
        case "user":
            return (line.user_id,)
        case "product":
            return line.user_id, line.order.product.name if line.order else None
        case "proxyUser":
            return line.user_id, line.order_id, line.login or None
        case _:
            return line.user_id, line.worker


def key_of(row: dict[str, Any], group: str) -> tuple[Any, ...]:
    """The key of a returned row, as in ``BillingWorld.expected``."""
    names = {
        "order": ("userId", "orderId"),
        "user": ("userId",),
        "product": ("userId", "product"),
        "proxyUser": ("userId", "orderId", "proxyUser"),
        "worker": ("userId", "worker"),
    }[group]
    return (*(row[name] for name in names), row["attributed"], row["day"])


def measured(row: dict[str, Any]) -> list[Any]:
    times = (datetime.fromisoformat(row[name]) for name in ("firstUsedAt", "lastUsedAt"))
    return [*(row[name] for name in MEASURES), *times]


def push(lines: Iterable[PushedLine], now: datetime, *, history: bool = False) -> None:
    """Sends the lines as workers push them, or as imported history."""
    rows = [_row(line) for line in lines]
    route = IngestBatch.Route.HISTORY if history else IngestBatch.Route.TRAFFIC
    body = msgspec.json.encode({"logs": rows})
    parse = history_to_inbox if history else to_inbox
    ingest_service.accept(body, parse, account_id=None, route=route, key=None, now=now)


def push_requests(lines: Iterable[PushedLine], now: datetime) -> None:
    rows = [
        {
            "log_request_datetime": f"{line.at:%Y-%m-%d %H:%M:%S}",
            "user_id": line.user_id,
            "order_id": line.order_id,
            "log_bytes_sent": line.measures[0],
            "log_bytes_received": line.measures[1],
            "log_error": "e" * line.measures[3],
        }
        for line in lines
    ]
    body = msgspec.json.encode({"logs": rows})
    ingest_service.accept(body, log_to_inbox, account_id=None, route=IngestBatch.Route.LOG, key=None, now=now)


def _row(line: PushedLine) -> dict[str, Any]:
    sent, received, count, errors = line.measures
    owner = {"proxy_user": line.login} if line.login else {"user_id": line.user_id, "order_id": line.order_id}
    return {
        **owner,
        "ts": f"{line.at:%Y-%m-%d %H:%M:%S}",
        "worker": line.worker,
        "count": count,
        "bytes_sent": sent,
        "bytes_received": received,
        "error_count": errors,
    }


def build(make_order: Callable[..., Order], users: list[User], now: datetime) -> BillingWorld:
    """Rows on time and late, by every route, of known orders and of none; all of it posted to the ledgers."""
    chance = random.Random(24)
    orders = []
    for user in users:
        for number, network in enumerate((Network.RESIDENTIAL, Network.MOBILE, Network.RESIDENTIAL)):
            logins = tuple(f"{user.username}-{number}-{login}" for login in range(3))
            orders.append(make_order(user, network=network, external_id=f"{user.username}-{number}", logins=logins))
    world = BillingWorld(now.replace(second=0, microsecond=0), users, orders)

    def lines(
        count: int, days: float, *, orders: list[Order], logins: bool = True, single: bool = False, age: float = 0
    ) -> list[PushedLine]:
        made = []
        for _ in range(count):
            order = chance.choice(orders)
            login = chance.choice(["", *(f"{order.external_id}-{i}" for i in range(3))]) if logins else ""
            at = world.now - timedelta(days=age) - timedelta(days=days) * chance.random()
            errors = chance.randrange(2)
            measures = (
                chance.randrange(10**6),
                chance.randrange(10**9),
                1 if single else chance.randrange(1, 9),
                errors,
            )
            worker = "" if single else chance.choice(["", "w1", "w2"])
            made.append(PushedLine(order.user_id, order.pk, order, login, worker, at, measures))
        return made

    on_time = []
    for age in (50, 20, 3):
        of_a_day = lines(40, 0.9, orders=orders, age=age)
        push(of_a_day, world.now - timedelta(days=age))
        on_time += of_a_day
    batches = [
        (push, lines(150, DAYS, orders=orders)),  # most of it late
        (push_requests, lines(60, 6, orders=orders, logins=False, single=True)),
    ]
    for way, batch in batches:
        way(batch, world.now)
    past = lines(60, DAYS, orders=orders)
    push(past, world.now, history=True)
    first, second, *_ = users
    strange = [
        PushedLine(user_id, order_id, None, "", "w1", world.now - timedelta(days=DAYS) * chance.random(), (1, 2, 3, 1))
        for user_id, order_id in [(first.pk, 10**6), (10**6, 10**6), (second.pk, orders[0].pk)]
        for _ in range(5)
    ]
    push(strange, world.now)
    world.lines = [*on_time, *(line for _, batch in batches for line in batch), *past, *strange]
    metering.post_usage(world.now)
    return world


def totals_by(rows: Iterable[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Bytes and requests of returned rows, by some of their columns."""
    sums: dict[tuple[Any, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in rows:
        key = tuple(row[name] for name in names)
        sums[key] = (sums[key][0] + int(row["value"]), sums[key][1] + row["requests"])
    return dict(sums)
