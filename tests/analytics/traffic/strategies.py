"""Arbitrary traffic and queries about it, drawn from so few values that everything collides."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy import ids
from orders.models import Order
from tests.accounts.helpers import access
from tests.analytics.traffic.model import QUARTER, ModelRow, Question, quarter

ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham")
DOMAINS = ("a.example", "A.Example", "b.example", "", "🦊.EXAMPLE", "ÄÖ.example", "tab\t'quote\\", "nul\0", "x" * 255)
ASKED_DOMAINS = ("a.example", "A.EXAMPLE", "b.example", "🦊.example", "äö.Example", "TAB\t'quote\\", "none.example")
ERRORS = ("", "timeout", "DENIED", "💥", "it's\n")
REPORTS = ("traffic", "requests", "concurrency", "domains", "errors", "websites")
COUNTS = (0, 1, 7, 2**32)
AMOUNTS = (0, 1, 1500, 2**44)
LENGTHS = (
    timedelta(0),
    timedelta(seconds=1),
    timedelta(hours=1),
    timedelta(days=2),
    timedelta(days=2, seconds=1),
    timedelta(days=14),
    timedelta(days=14, seconds=1),
    timedelta(days=62),
)
BAD_ROW = {"ts": "2026-02-30 00:00:00", "user_id": 1, "order_id": 1, "count": 1}
Sent = tuple[dict[str, Any], ModelRow]
"""A row as it is sent, and as it counts."""

_numbers = count(1)


@dataclass(frozen=True)
class TwoCustomers:
    """Two customers: one with two orders, the first of which has one proxy login; one with an order of two logins."""

    rich: User
    poor: User
    orders: tuple[Order, Order, Order]
    logins: dict[str, Order]

    @classmethod
    def fresh(cls, make_order: Callable[..., Order]) -> TwoCustomers:
        """New accounts, so that no table has to be emptied between examples."""
        number = next(_numbers)
        rich, poor = (User.objects.create_user(f"{name}-{number}") for name in ("rich", "poor"))
        names = [f"login-{number}-{i}" for i in range(3)]
        first = make_order(rich, logins=(names[0],))
        third = make_order(poor, network="mobile", logins=(names[1], names[2]))
        logins = {names[0]: first, names[1]: third, names[2]: third}
        return cls(rich, poor, (first, make_order(rich), third), logins)

    def owner_of(self, order: Order) -> User:
        return self.poor if order == self.orders[2] else self.rich


def clock_changes(zone: str, since: datetime, until: datetime) -> list[datetime]:
    """The first quarter of an hour after each change of the zone's clocks."""
    tz, found, at = ZoneInfo(zone), [], quarter(since)
    while at < until:
        day_on = at + timedelta(days=1)
        if day_on.astimezone(tz).utcoffset() == at.astimezone(tz).utcoffset():
            at = day_on
            continue
        before = at.astimezone(tz).utcoffset()
        while at.astimezone(tz).utcoffset() == before:
            at += QUARTER
        found.append(at)
    return found


def moments(now: datetime) -> list[datetime]:
    """Buckets within the retention: around today, weeks and months ago, around clock changes, and slightly ahead."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    plain = [today - timedelta(days=days, hours=hours) for days in (0, 1, 14, 62, 93, 390) for hours in (-23, 0, 1)]
    changes = [at for zone in ZONES for at in clock_changes(zone, now - timedelta(days=380), now)]
    around = [at + k * QUARTER for at in changes for k in (-5, -1, 0, 3)]
    return [at for at in plain if at < now + timedelta(hours=23)] + around


@st.composite
def few_moments(draw: st.DrawFn, now: datetime) -> st.SearchStrategy[datetime]:
    """A choice of few instants of one example and those just before, for both its rows and its queries."""
    chosen = draw(st.lists(st.sampled_from(moments(now)), min_size=1, max_size=3))
    earlier = (timedelta(0), QUARTER, timedelta(hours=1), timedelta(days=1))
    return st.sampled_from([at - step for at in chosen for step in earlier])


def as_text(at: datetime, style: int) -> str:
    """An instant in one of the formats that ingest accepts."""
    plain = at.replace(tzinfo=None)
    return (
        plain.isoformat(" ", "seconds"),
        plain.isoformat("T", "microseconds"),
        plain.isoformat("T", "seconds") + "Z",
        at.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat(),
        at.astimezone(timezone(-timedelta(hours=3))).isoformat(),
    )[style]


@st.composite
def whose(draw: st.DrawFn, world: TwoCustomers) -> tuple[dict[str, Any], int, int]:
    """The fields of a row that name its owner, and the user and order for which it counts."""
    order = draw(st.sampled_from(world.orders))
    owner = world.owner_of(order)
    login = draw(st.sampled_from(sorted(world.logins)))
    by_login = (world.owner_of(world.logins[login]).pk, world.logins[login].pk)
    numbers = {
        "own": (owner.pk, order.pk),
        "of another": ((world.poor if owner == world.rich else world.rich).pk, order.pk),
        "no such order": (owner.pk, 2**32),
        "no such user": (2**32 - 1, order.pk),
        "nobody's": (0, 0),
    }
    kind = draw(st.sampled_from(["own", "own", *numbers, "login", "login and numbers"]))
    if kind == "login":
        return {"proxy_user": login}, *by_login
    if kind == "login and numbers":
        return {"proxy_user": login, "user_id": by_login[0], "order_id": by_login[1]}, *by_login
    user_id, order_id = numbers[kind]
    return {"user_id": user_id, "order_id": order_id}, user_id, order_id


@st.composite
def rows(draw: st.DrawFn, world: TwoCustomers, at: st.SearchStrategy[datetime]) -> Sent:
    said, user, order = draw(whose(world))
    ts = draw(at) + draw(st.sampled_from([timedelta(0), timedelta(seconds=61), QUARTER - timedelta(microseconds=1)]))
    amounts, counts = st.sampled_from(AMOUNTS), st.sampled_from(COUNTS)
    row = ModelRow(
        user=user,
        order=order,
        ts=ts,
        domain=draw(st.sampled_from(DOMAINS)),
        error=draw(st.sampled_from(ERRORS)),
        count=draw(counts),
        sent=draw(amounts),
        received=draw(amounts),
        errors=draw(counts),
        concurrency=draw(counts),
    )
    form = draw(st.integers(0, 4)) if ts.microsecond == 0 else draw(st.sampled_from([1, 3]))
    sent = {
        **said,
        "ts": as_text(ts, form),
        "domain": row.domain,
        "error": row.error,
        "count": row.count,
        "bytes_sent": row.sent,
        "bytes_received": row.received,
        "error_count": row.errors,
        "max_concurrency": row.concurrency,
        "country": draw(st.sampled_from(["", "de", "DE"])),
        "worker": draw(st.sampled_from(["", "w1"])),
        "ip_out": draw(st.sampled_from(["", "203.0.113.9", "2001:db8::9"])),
    }
    return sent, row


@st.composite
def questions(draw: st.DrawFn, world: TwoCustomers, at: st.SearchStrategy[datetime]) -> Question:
    asker = draw(st.sampled_from([world.rich, world.rich, world.poor]))
    own = [order.pk for order in world.orders if world.owner_of(order) == asker]
    unfiltered = [None] * 4
    length = draw(st.sampled_from([*LENGTHS, *LENGTHS[-1:] * 6]))
    first = draw(at) - draw(st.sampled_from([timedelta(0), timedelta(minutes=7), length / 2]))
    first = first.replace(microsecond=0)
    zone = draw(st.sampled_from(ZONES))
    start: date = first
    end: date = first + length
    if draw(st.booleans()):
        start, end = first.date(), (first + length).date()
    elif draw(st.booleans()) and _local_date(first + length, zone) > _local_date(first, zone):
        end = _local_date(first + length, zone)  # the date elsewhere may begin later than two months on
    return Question(
        report=draw(st.sampled_from(REPORTS)),
        user=asker.pk,
        start=start,
        end=end,
        zone=zone,
        order=draw(st.sampled_from([*unfiltered, *own])),
        domain=draw(st.sampled_from([*unfiltered, *unfiltered, *ASKED_DOMAINS])),
        interval=draw(st.sampled_from([None, "15m", "1h", "1d"])),
        fill=draw(st.booleans()),
        sort_by=draw(st.sampled_from(["bytes", "count"])),
        limit=draw(st.sampled_from([None, 100, 1, 2, 3])),
        page=draw(st.sampled_from([1, 1, 1, 2, 3])),
    )


def _local_date(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


@st.composite
def everything(draw: st.DrawFn, world: TwoCustomers, at: st.SearchStrategy[datetime]) -> list[Question]:
    """Every read of an account over the two months around an instant."""
    first = draw(at) - timedelta(days=draw(st.integers(1, 60)))
    zone, interval = draw(st.sampled_from(ZONES)), draw(st.sampled_from([None, "15m", "1h", "1d"]))
    asker = draw(st.sampled_from([world.rich, world.poor]))
    return [
        Question(report, asker.pk, first, first + LENGTHS[-1], zone, interval=interval, sort_by=sort_by)
        for report in REPORTS
        for sort_by in (("bytes", "count") if report in ("domains", "websites") else ("bytes",))
    ]


def parameters(question: Question) -> dict[str, Any]:
    """The query's parameters; those of other reads are ignored."""
    given = {
        "from": question.start.isoformat().replace("+00:00", "Z"),
        "to": question.end.isoformat().replace("+00:00", "Z"),
        "tz": question.zone,
        "domain": question.domain,
        "interval": question.interval,
        "fill": "true" if question.fill else None,
        "sortBy": question.sort_by,
        "limit": question.limit,
        "page": question.page,
    }
    return {name: value for name, value in given.items() if value is not None}


def body_of(batch: list[Sent], status: int = 204) -> bytes:
    sent: list[dict[str, Any]] = [row for row, _ in batch]
    if status == 400:
        sent = [*sent, BAD_ROW]
    elif status == 409:
        sent = [*sent, {**BAD_ROW, "ts": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"}]
    return json.dumps({"logs": sent}).encode()


def reader(user_id: int) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access(User.objects.get(pk=user_id))}")
    return client


def read(question: Question) -> Any:
    order = {} if question.order is None else {"orderId": ids.encode("order", question.order)}
    given = {**parameters(question), **order}
    response = reader(question.user).get(f"/analytics/{question.report}", given)
    assert response.status_code == 200, response.content
    return response.json()
