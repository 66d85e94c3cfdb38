"""The static IPs of a range, and the users of its addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.utils.html import strip_tags
from rest_framework.test import APIClient

from accounts.models import User
from console.address_use import InvalidRange, parse
from fonproxy.clickhouse.client import Client
from geo.models import StaticIp
from orders.models import Order
from tests.analytics.helpers import documented_row, engine_unavailable, push, recently

pytestmark = pytest.mark.django_db
PAGE = "/admin/addresses/"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("192.0.2.0/24", "192.0.2.0", "192.0.2.255"),
        ("192.0.2.7/30", "192.0.2.4", "192.0.2.7"),
        (" 192.0.2.10 - 192.0.2.99 ", "192.0.2.10", "192.0.2.99"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:DB8::/118", "2001:db8::", "2001:db8::3ff"),
        ("::ffff:192.0.2.1-192.0.2.2", "192.0.2.1", "192.0.2.2"),
    ],
)
def test_a_range_is_a_network_or_two_addresses(text: str, first: str, last: str) -> None:
    assert tuple(map(str, parse(text))) == (first, last)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Must be a network"),
        ("here", "Must be a network"),
        ("192.0.2.0/33", "Must be a network"),
        ("192.0.2.1-", "Must be a network"),
        ("fe80::1%eth0", "Must be a network"),
        ("192.0.2.9-192.0.2.1", "The last address must be"),
        ("192.0.2.1-2001:db8::1", "The last address must be"),
        ("192.0.0.0/21", "Must have 1,024 addresses at most"),
        ("::/0", "Must have 1,024 addresses at most"),
    ],
)
def test_other_texts_are_refused_with_a_message(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRange, match=sentence):
        parse(text)


@pytest.fixture
def order(
    clean_engine: Client, alice: User, worker: User, make_order: Callable[..., Order],
    client_for: Callable[..., APIClient],
) -> Order:  # fmt: skip
    """Three static IPs, of which one is used, and uses of two other addresses, one eight days ago."""
    order = make_order(alice)
    for address, is_available in (("192.0.2.9", True), ("192.0.2.10", False), ("192.0.3.1", True)):
        StaticIp.objects.create(address=address, proxy_type="server-static", is_available=is_available)
    at = recently()
    rows = [
        documented_row(ts=f"{at - ago:%Y-%m-%d %H:%M:%S}", user_id=user, order_id=order.pk, ip_out=ip, count=1)
        for ip, user, ago in (
            ("192.0.2.10", alice.pk, timedelta()),
            ("192.0.2.100", 888, timedelta()),
            ("192.0.2.200", alice.pk, timedelta(days=8)),
        )
    ]
    assert push(client_for(worker, "ingest"), rows).status_code == 204
    return order


def lines(browser: Browser, **query: Any) -> list[str]:
    answer = browser.get(PAGE, query)
    assert answer.status_code == 200
    [body] = re.findall(r"<tbody>(.*?)</tbody>", answer.content.decode().partition('id="content"')[2], re.DOTALL)
    return [
        " ".join(strip_tags(row.replace("<", " <")).split()) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def test_each_address_is_shown_with_its_users(browser: Browser, order: Order) -> None:
    free, taken, unlisted = lines(browser, range="192.0.2.0/24")
    assert free == "192.0.2.9 server-static, default nobody in this time"
    assert taken.startswith("192.0.2.10 server-static, default not available alice ")
    assert unlisted.startswith("192.0.2.100 not in the list 888 (unknown)")
    assert len(lines(browser, range="192.0.2.0/24", days=31)) == 4
    assert len(lines(browser, range="192.0.2.10-192.0.2.99")) == 1


def test_a_range_without_anything_says_so(browser: Browser, order: Order) -> None:
    assert "No static IP is in this range" in browser.get(PAGE, {"range": "198.51.100.0/24"}).content.decode()
    assert "Must be a network" in browser.get(PAGE, {"range": "x"}).content.decode()
    assert "Select a valid choice" in browser.get(PAGE, {"range": "192.0.2.0/24", "days": "8"}).content.decode()
    assert "No static IP" not in browser.get(PAGE).content.decode()
    with engine_unavailable():
        assert "ClickHouse is unavailable" in browser.get(PAGE, {"range": "192.0.2.0/24"}).content.decode()


def test_the_search_opens_the_page_for_a_range(browser: Browser, order: Order) -> None:
    answer = browser.get("/admin/search/", {"q": "192.0.2.0/24"})
    assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}?range=192.0.2.0%2F24")


def test_the_page_and_its_link_need_all_its_permissions(helper: User, clean_engine: Client) -> None:
    helper.user_permissions.add(Permission.objects.get(codename="view_staticip"))
    browser = Browser()
    browser.force_login(helper)
    assert browser.get(PAGE).status_code == 403
    assert PAGE not in browser.get("/admin/geo/staticip/").content.decode()
    helper.user_permissions.add(*Permission.objects.filter(codename__in=["view_user", "view_order"]))
    assert browser.get(PAGE).status_code == 200
    assert PAGE in browser.get("/admin/geo/staticip/").content.decode()
