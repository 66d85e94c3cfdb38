"""Staff carry out the actions of an order's life, and see the effect of each beforehand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from orders import ledger
from orders.models import CutOff, LedgerEntry, Order

pytestmark = pytest.mark.django_db

GB = 2**30


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice, limit=10 * GB)


def page(order: Order, step: str) -> str:
    return f"/admin/orders/order/{order.pk}/step/{step}/"


def take(browser: Browser, order: Order, step: str, **fields: Any) -> str:
    answer = browser.post(page(order, step), {"confirmed": "yes", "reference": "r", **fields}, follow=True)
    assert answer.status_code == 200
    order.refresh_from_db()
    return answer.content.decode()


def test_an_effect_is_shown_and_nothing_done_until_it_is_confirmed(browser: Browser, order: Order) -> None:
    shown = browser.post(page(order, "top-up"), {"size": "5", "reference": "r"}).content.decode()
    assert "10.00 GB" in shown
    assert "<strong>15.00 GB</strong>" in shown
    assert ledger.balance(order) == 10 * GB
    assert LedgerEntry.objects.filter(order=order).count() == 1
    assert not LogEntry.objects.exists()
    take(browser, order, "top-up", size="5")
    assert ledger.balance(order) == 15 * GB


def test_an_order_action_is_logged_with_its_effect_and_reason(browser: Browser, order: Order) -> None:
    take(browser, order, "top-up", size="5", note="a gift")
    entry = LedgerEntry.objects.get(reason="top_up")
    assert (entry.author, entry.note, entry.reference) == ("root", "a gift", "r")
    told = "Top up. Limit of this period: 10.00 GB → 15.00 GB; Left: 10.00 GB → 15.00 GB a gift"
    assert LogEntry.objects.get().change_message.startswith(f"{told} (from 127.0.0.1, request ")


def test_sending_a_form_twice_posts_once(browser: Browser, order: Order) -> None:
    take(browser, order, "top-up", size="5")
    assert "No effect." in take(browser, order, "top-up", size="5")
    assert ledger.balance(order) == 15 * GB


@pytest.mark.parametrize(("step", "size", "left"), [("refund", "1.5", 11.5), ("adjust", "-4", 6)])
def test_refunds_and_adjustments_move_the_balance(
    browser: Browser, order: Order, step: str, size: str, left: float
) -> None:
    take(browser, order, step, size=size)
    assert ledger.balance(order) == left * GB


def test_an_order_is_renewed_until_a_later_time(browser: Browser, order: Order) -> None:
    until = (timezone.now() + timedelta(days=30)).replace(second=0, microsecond=0)
    take(browser, order, "renew", size="20", expires_at=f"{until:%Y-%m-%dT%H:%M}")
    assert (order.period_number, order.expires_at, ledger.balance(order)) == (2, until, 20 * GB)


def test_an_order_is_suspended_resumed_and_ended(browser: Browser, order: Order) -> None:
    take(browser, order, "suspend")
    assert CutOff.objects.get().state == "suspended"
    take(browser, order, "resume")
    assert CutOff.objects.get().state == "active"
    take(browser, order, "expire", note="chargeback")
    assert CutOff.objects.get().state == "expired"
    assert ledger.balance(order) == 0
    assert LogEntry.objects.count() == 3


def test_only_applicable_actions_are_offered(browser: Browser, order: Order) -> None:
    def offered() -> set[str]:
        shown = browser.get(f"/admin/orders/order/{order.pk}/change/").content.decode()
        steps = ("top-up", "refund", "adjust", "renew", "suspend", "resume", "expire")
        return {step for step in steps if page(order, step) in shown}

    assert offered() == {"top-up", "refund", "adjust", "renew", "suspend", "expire"}
    take(browser, order, "suspend")
    assert offered() == {"top-up", "refund", "adjust", "renew", "resume", "expire"}
    take(browser, order, "resume")
    take(browser, order, "expire")
    assert offered() == {"renew"}


@pytest.mark.parametrize(
    ("step", "fields", "told"),
    [
        ("adjust", {"size": "-11"}, "The limit cannot fall below zero."),
        ("top-up", {"size": "99999999"}, "The limit cannot exceed"),
        ("top-up", {"size": "0"}, "greater than or equal to 0.001"),
        ("top-up", {"size": "much"}, "Enter a number."),
        ("top-up", {"size": "1", "reference": ""}, "This field is required."),
        ("renew", {"size": "99999999"}, "The limit cannot exceed"),
        ("renew", {"expires_at": "2001-01-01T00:00"}, "The order has expired"),
        ("renew", {"expires_at": "soon"}, "Enter a valid date/time."),
    ],
)
@pytest.mark.parametrize("confirmed", ["", "yes"])
def test_a_refused_action_is_an_error_in_the_form_and_changes_nothing(
    browser: Browser, order: Order, step: str, fields: dict[str, str], told: str, confirmed: str
) -> None:
    assert told in take(browser, order, step, **fields, confirmed=confirmed)
    assert ledger.balance(order) == 10 * GB
    assert order.period_number == 1
    assert not LogEntry.objects.exists()


def test_a_reference_of_another_posting_is_refused(browser: Browser, order: Order) -> None:
    take(browser, order, "top-up", size="5")
    assert "was used before" in take(browser, order, "refund", size="5")


def test_without_the_permission_to_change_orders_no_action_is_possible(helper: User, order: Order) -> None:
    browser = Browser()
    browser.force_login(helper)
    assert browser.get(page(order, "suspend")).status_code == 403
    assert browser.post(page(order, "suspend"), {"confirmed": "yes"}).status_code == 403
    order.refresh_from_db()
    assert order.suspended_at is None


def test_an_unknown_action_or_order_is_not_found(browser: Browser, order: Order) -> None:
    assert browser.get(page(order, "delete")).status_code == 404
    assert browser.get("/admin/orders/order/999999/step/suspend/").status_code == 404
