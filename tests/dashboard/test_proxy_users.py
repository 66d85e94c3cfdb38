"""The page of proxy users: usage, limits, and changing them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import proxy_users
from orders.models import Order, ProxyUser
from tests.analytics.helpers import engine_unavailable
from tests.usage.test_limits import beat, use

GB = 2**30


@pytest.fixture
def browser(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Browser:
    make_order(alice, limit=100 * GB, logins=("a", "b"))
    browser = Browser()
    browser.force_login(alice)
    return browser


def user(login: str = "a") -> ProxyUser:
    return ProxyUser.objects.get(login=login)


def rows(browser: Browser) -> list[str]:
    """The text of each login's row."""
    page = browser.get("/dashboard/proxy-users").content.decode()
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    return [" ".join(html.unescape(re.sub("<[^>]+>", " ", row)).split()) for row in body.split("</tr>")[:-1]]


def save(browser: Browser, login: str = "a", **entered: Any) -> Any:
    return browser.post(f"/dashboard/proxy-users/{user(login).published_id}", entered)


def test_limits_are_set_in_gb_and_shown_with_usage(browser: Browser) -> None:
    assert save(browser, dayBytes="1.5", monthBytes="20").status_code == 302
    assert tuple(user().limits) == (3 * GB // 2, 20 * GB, None)
    use(GB // 2, now := timezone.now())
    first, second = rows(browser)
    assert "512 MB of 1.50 GB 512 MB of 20 GB 512 MB none any" in first
    assert "0 bytes 0 bytes 0 bytes none any" in second
    use(GB, now)
    beat(now)
    first, second = rows(browser)
    assert "limit reached Stopped until" in first
    assert "limit reached" not in second
    save(browser, totalBytes="1")
    beat(timezone.now())
    assert "Stopped until the limit is raised" in rows(browser)[0]


def test_saving_an_unchanged_form_changes_no_limit(browser: Browser) -> None:
    odd = {"dayBytes": 5, "monthBytes": 2**53 - 1, "totalBytes": 3 * GB + 7}
    proxy_users.change_by_owner(user(), {"limits": odd, "allowedIps": ["192.0.2.0/24"]})
    before = tuple(user().limits)
    form = browser.get(f"/dashboard/proxy-users/{user().published_id}").context["form"]
    assert save(browser, **{name: form[name].value() for name in form.fields}).status_code == 302
    assert (tuple(user().limits), user().allowed_ips) == (before, ["192.0.2.0/24"])


@pytest.mark.parametrize("entered", ["0", "-1", "nan", "inf", "1e300", "much"])
def test_a_malformed_limit_is_refused_beside_its_field(browser: Browser, entered: str) -> None:
    answer = save(browser, dayBytes=entered)
    assert list(answer.context["form"].errors) == ["dayBytes"]
    assert not any(user().limits)


def test_logins_can_be_changed_while_the_engine_is_unavailable(browser: Browser) -> None:
    with engine_unavailable():
        assert rows(browser)[0].count("\N{EN DASH}") == 3
        assert save(browser, dayBytes="1").status_code == 302


def test_the_order_card_shows_a_reached_daily_limit(
    browser: Browser, alice: User, make_order: Callable[..., Order]
) -> None:
    now = timezone.now()
    make_order(alice, limit=None, logins=("c",), day_limit_bytes=2 * GB, started_at=now - timedelta(days=1))
    use(2 * GB, now, "c")
    beat(now)
    page = " ".join(browser.get("/dashboard").content.decode().split())
    assert "daily limit reached" in page
    assert "used, up to 2 GB per day" in page
