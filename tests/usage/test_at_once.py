"""A billing system that says the same several times at once, or in another order than it meant it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import Order, User
from usage import ledger
from usage.models import CutOff, Erasure, LedgerEntry, Reason

AT_ONCE = 6
ORDER = {"user": "c", "name": "Residential", "proxyType": "residential-giga", "trafficLimitBytes": 1000}

Call = tuple[str, str, dict[str, Any]]


@pytest.fixture
def at_once(transactional_db: None, staff: User) -> Iterator[Callable[[Iterable[Call]], list[int]]]:
    """Makes the calls from as many threads, all started together; returns the statuses."""
    token = str(AccessToken.for_user(staff))

    def make(calls: Iterable[Call]) -> list[int]:
        calls = list(calls)
        start = Barrier(len(calls))

        def one(call: Call) -> int:
            method, path, body = call
            client = APIClient(raise_request_exception=False)
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
            start.wait()
            try:
                status: int = client.generic(
                    method, f"/provisioning/{path}", json.dumps(body), "application/json"
                ).status_code
                return status
            finally:
                connection.close()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(one, calls))

    yield make
    # The database refuses to let a ledger be flushed, unless its customers are being erased.
    Erasure.objects.bulk_create(Erasure(order=order) for order in Order.objects.all())
    LedgerEntry.objects.all().delete()


def test_the_same_customer_and_order_put_at_once_are_made_once(at_once: Callable[[Iterable[Call]], list[int]]) -> None:
    assert sorted(at_once([("PUT", "users/c", {"email": "c@example.com"})] * AT_ONCE)) == [200] * (AT_ONCE - 1) + [201]
    put = ("PUT", "orders/o", {**ORDER, "proxyUsers": ["a", "b"]})
    assert sorted(at_once([put] * AT_ONCE)) == [200] * (AT_ONCE - 1) + [201]
    order = Order.objects.get()
    assert LedgerEntry.objects.get().bytes == 1000
    assert order.proxy_users.count() == 2


def test_a_reference_at_once_is_posted_once_and_other_amounts_are_conflicts(
    at_once: Callable[[Iterable[Call]], list[int]],
) -> None:
    at_once([("PUT", "users/c", {})])
    at_once([("PUT", "orders/o", ORDER)])
    top_ups = [("POST", "orders/o/top-ups", {"reference": "r", "bytes": 50})] * AT_ONCE
    assert sorted(at_once(top_ups)) == [200] * (AT_ONCE - 1) + [201]
    different = [("POST", "orders/o/top-ups", {"reference": "s", "bytes": size}) for size in range(1, 1 + AT_ONCE)]
    assert sorted(at_once(different)) == [201] + [409] * (AT_ONCE - 1)
    renewals = [("POST", "orders/o/renewals", {"reference": "n", "bytes": 70})] * AT_ONCE
    assert sorted(at_once(renewals)) == [200] * (AT_ONCE - 1) + [201]
    order = Order.objects.get()
    assert (order.limit_bytes, ledger.balance(order), order.period_number) == (70, 70, 2)


def test_credits_in_any_order_come_to_the_same(at_once: Callable[[Iterable[Call]], list[int]]) -> None:
    at_once([("PUT", "users/c", {})])
    at_once([("PUT", "orders/o", ORDER)])
    kinds = ("top-ups", "refunds", "adjustments")
    calls: list[Call] = [
        ("POST", f"orders/o/{kind}", {"reference": kind, "bytes": size}) for size, kind in enumerate(kinds, 1)
    ]
    assert at_once(calls * 2).count(201) == 3
    assert at_once(reversed(calls)) == [200] * 3
    order = Order.objects.get()
    assert (order.limit_bytes, ledger.balance(order)) == (1006, 1006)
    added = order.ledger.exclude(reason=Reason.SERVICE_PURCHASE)
    assert {entry.adjustment_number for entry in added} == {1, 2, 3}


def test_orders_that_end_at_once_get_different_numbers_in_the_feed(
    at_once: Callable[[Iterable[Call]], list[int]],
) -> None:
    at_once([("PUT", "users/c", {})])
    for number in range(AT_ONCE):
        at_once([("PUT", f"orders/o{number}", ORDER)])
    calls: list[Call] = [("POST", f"orders/o{number}/expire", {}) for number in range(AT_ONCE)]
    assert at_once(calls) == [200] * AT_ONCE
    numbers = list(CutOff.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(numbers[0], numbers[0] + AT_ONCE))


def test_an_old_put_that_arrives_late_is_taken_at_its_word(at_once: Callable[[Iterable[Call]], list[int]]) -> None:
    """A PUT says what is to be; the last one to arrive wins, and what was added to the limit stays."""
    at_once([("PUT", "users/c", {})])
    later = f"{timezone.now() + timedelta(days=9):%Y-%m-%d}"
    at_once([("PUT", "orders/o", {**ORDER, "trafficLimitBytes": 5000, "expiresAt": later})])
    at_once([("POST", "orders/o/top-ups", {"reference": "r", "bytes": 50})])
    at_once([("PUT", "orders/o", ORDER)])
    order = Order.objects.get()
    assert (order.limit_bytes, ledger.balance(order)) == (1050, 1050)
