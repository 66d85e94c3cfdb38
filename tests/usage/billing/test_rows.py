"""The rows of a few pushes, written out: which rows each grouping has, and each of their values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from accounts.models import User
from analytics.billing import Periods
from fonproxy.clickhouse.client import Client
from fonproxy.timerange import UTC_ZONE, Range, days
from orders.models import Network, Order, ProxyUser
from tests.usage.billing.world import PushedLine, push
from usage.billing.rows import BillingRequest, Group, RowKey

MAY = days(date(2026, 5, 1), date(2026, 5, 31), UTC_ZONE)
IN_JUNE = datetime(2026, 6, 3, tzinfo=UTC)
UNKNOWN_ORDER = 10**9


def in_may(day: int, hour: int, minute: int) -> datetime:
    return datetime(2026, 5, day, hour, minute, tzinfo=UTC)


class Sold(NamedTuple):
    """Two orders of alice's, the first with two logins, and one of bob's."""

    first: Order
    second: Order
    his: Order
    login: ProxyUser


@pytest.fixture
def sold(alice: User, bob: User, make_order: Callable[..., Order], clean_engine: Client) -> Sold:
    User.objects.filter(pk=alice.pk).update(external_id="c-alice")
    first = make_order(alice, external_id="o-1", logins=("l", "m"))
    second = make_order(alice, external_id="o-2", network=Network.MOBILE)
    his = make_order(bob)
    push(
        [
            PushedLine(alice.pk, first.pk, first, "l", "w-1", in_may(10, 10, 20), (1, 10, 2, 1)),
            PushedLine(alice.pk, first.pk, first, "", "w-2", in_may(11, 23, 50), (2, 20, 3, 0)),
            PushedLine(alice.pk, second.pk, second, "", "w-1", in_may(12, 0, 5), (4, 40, 1, 0)),
            PushedLine(alice.pk, UNKNOWN_ORDER, None, "", "w-1", in_may(10, 10, 40), (8, 80, 5, 2)),
            PushedLine(bob.pk, his.pk, his, "", "w-1", in_may(13, 7, 0), (16, 160, 1, 1)),
        ],
        in_may(13, 8, 0),
    )
    return Sold(first, second, his, ProxyUser.objects.get(login="l"))


def rows(group: Group, periods: Periods | None = None, now: datetime = IN_JUNE) -> list[dict[str, Any]]:
    found = [row for rows in BillingRequest(periods or Periods.whole(MAY), group).rows(now) for _, row in rows]
    assert len({row.pop("identifier") for row in found}) == len(found)
    return found


def row(
    order: Order | None, amounts: tuple[int, int, int, int], first: str, last: str, /, **more: Any
) -> dict[str, Any]:
    """A row for all of May; of alice and of no order unless given."""
    sent, received, requests, errors = amounts
    return {
        "timestamp": int(datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC).timestamp()),
        "value": str(sent + received),
        "user": "c-alice",
        "userId": User.objects.get(username="alice").pk,
        "order": order.external_id if order else None,
        "orderId": order.pk if order else None,
        "product": order.product.name if order else None,
        "proxyType": order.product.proxy_type if order else None,
        "proxyUser": None,
        "proxyUserId": None,
        "worker": None,
        "day": None,
        "from": "2026-05-01T00:00:00Z",
        "to": "2026-06-01T00:00:00Z",
        "bytesSent": sent,
        "bytesReceived": received,
        "requests": requests,
        "errors": errors,
        "firstUsedAt": f"2026-05-{first}:00Z",
        "lastUsedAt": f"2026-05-{last}:00Z",
        "attributed": True,
        "closed": True,
        "revision": 0,
    } | more


def of_bob(order: Order | None, sold: Sold, /, **more: Any) -> dict[str, Any]:
    return row(order, (16, 160, 1, 1), "13T07:00", "13T07:00", **{"user": None, "userId": sold.his.user_id, **more})


def unattributed(**more: Any) -> dict[str, Any]:
    return row(None, (8, 80, 5, 2), "10T10:30", "10T10:30", attributed=False, **more)


def test_rows_by_order(sold: Sold) -> None:
    assert rows(Group.ORDER) == [
        row(sold.first, (3, 30, 5, 1), "10T10:15", "11T23:45"),
        row(sold.second, (4, 40, 1, 0), "12T00:00", "12T00:00"),
        unattributed(orderId=UNKNOWN_ORDER),
        of_bob(sold.his, sold),
    ]


def test_rows_by_user(sold: Sold) -> None:
    assert rows(Group.USER) == [
        row(None, (7, 70, 6, 1), "10T10:15", "12T00:00"),
        unattributed(),
        of_bob(None, sold),
    ]


def test_rows_by_product(sold: Sold) -> None:
    nameless: dict[str, Any] = {"order": None, "orderId": None}
    of_alice = [
        row(sold.first, (3, 30, 5, 1), "10T10:15", "11T23:45", **nameless),
        row(sold.second, (4, 40, 1, 0), "12T00:00", "12T00:00", **nameless),
    ]
    by_product = sorted(zip((sold.first.product_id, sold.second.product_id), of_alice, strict=True))
    assert rows(Group.PRODUCT) == [
        *(found for _, found in by_product),
        unattributed(),
        of_bob(sold.his, sold, **nameless),
    ]


def test_rows_by_proxy_user(sold: Sold) -> None:
    assert rows(Group.PROXY_USER) == [
        row(sold.first, (2, 20, 3, 0), "11T23:45", "11T23:45"),
        row(sold.first, (1, 10, 2, 1), "10T10:15", "10T10:15", proxyUser="l", proxyUserId=sold.login.published_id),
        row(sold.second, (4, 40, 1, 0), "12T00:00", "12T00:00"),
        unattributed(orderId=UNKNOWN_ORDER),
        of_bob(sold.his, sold),
    ]


def test_rows_by_worker(sold: Sold) -> None:
    assert rows(Group.WORKER) == [
        row(None, (5, 50, 3, 1), "10T10:15", "12T00:00", worker="w-1"),
        row(None, (2, 20, 3, 0), "11T23:45", "11T23:45", worker="w-2"),
        unattributed(worker="w-1"),
        of_bob(None, sold, worker="w-1"),
    ]


def test_rows_by_day_are_local_days_cut_to_the_range(sold: Sold) -> None:
    """In Berlin both rows of the night belong to the 12th."""
    periods = Periods.days(Range(in_may(10, 10, 15), in_may(12, 12, 0)), ZoneInfo("Europe/Berlin"))
    found = rows(Group.USER, periods)
    named = [(row["day"], row["attributed"], row["value"], row["from"], row["to"]) for row in found]
    assert named == [
        ("2026-05-10", True, "11", "2026-05-10T10:15:00Z", "2026-05-10T22:00:00Z"),
        ("2026-05-12", True, "66", "2026-05-11T22:00:00Z", "2026-05-12T12:00:00Z"),
        ("2026-05-10", False, "88", "2026-05-10T10:15:00Z", "2026-05-10T22:00:00Z"),
    ]
    # Fewer rows per statement than there are days.
    pages = [row for rows in BillingRequest(periods, Group.USER).rows(IN_JUNE, None, 1) for _, row in rows]
    assert [(row["day"], row["value"]) for row in pages] == [(each[0], each[2]) for each in named]


def test_usage_of_a_running_period_is_timestamped_with_its_last_use_but_never_in_the_future(sold: Sold) -> None:
    last_used = in_may(11, 23, 45)
    for now, stamped in ((in_may(20, 0, 0), last_used), (in_may(11, 12, 0), in_may(11, 12, 0))):
        first, *_ = rows(Group.ORDER, now=now)
        assert (first["timestamp"], first["closed"]) == (int(stamped.timestamp()), False)


@pytest.mark.parametrize("group", [Group.PROXY_USER, Group.WORKER])
def test_a_page_of_any_size_begins_after_the_last_key_of_the_previous_page(group: Group, sold: Sold) -> None:
    request = BillingRequest(Periods.whole(MAY), group)

    def read(after: RowKey | None, at_once: int) -> list[tuple[RowKey, dict[str, Any]]]:
        pages = list(request.rows(IN_JUNE, after, at_once))
        assert all(pages)
        return [row for rows in pages for row in rows]

    whole = read(None, 100)
    assert [key for key, _ in whole] == sorted(key for key, _ in whole)
    assert read(None, 1) == whole
    for number, (key, _) in enumerate(whole, 1):
        assert read(key, 1) == whole[number:]


def test_a_row_keeps_its_identifier_until_its_revision_changes(sold: Sold) -> None:
    def identifiers() -> dict[RowKey, tuple[int, str]]:
        found = BillingRequest(Periods.whole(MAY), Group.ORDER).rows(IN_JUNE)
        return {key: (row["revision"], row["identifier"]) for rows in found for key, row in rows}

    before = identifiers()
    assert identifiers() == before
    push([PushedLine(sold.first.user_id, sold.first.pk, sold.first, "", "", in_may(9, 1, 0), (0, 1, 1, 0))], IN_JUNE)
    after = identifiers()
    [changed] = [key for key in before if after[key] != before[key]]
    assert (changed.order_id, before[changed][0], after[changed][0]) == (sold.first.pk, 0, 1)
    assert before[changed][1] != after[changed][1]
