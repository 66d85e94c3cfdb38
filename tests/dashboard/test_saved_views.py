"""Views that an account saves by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import parse_qsl

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Role, SavedView, User
from dashboard import saved_views
from orders.models import Order

pytestmark = pytest.mark.django_db

VIEWS = "/dashboard/views"


def signed_in(user: User) -> Client:
    cache.clear()
    browser = Client()
    browser.force_login(user)
    return browser


def test_a_view_is_saved_by_name_and_offered_on_explore(alice: User, make_order: Callable[..., Order]) -> None:
    order = make_order(alice)
    browser = signed_in(alice)
    query = f"range=30d&country=DE&order={order.published_id}&page=3&unknown=x"
    answer = browser.post(VIEWS, {"name": " Germany ", "query": query})
    kept = f"range=30d&order={order.published_id}&country=DE"
    assert answer["Location"] == f"/dashboard/explore?{kept}"
    page = browser.get("/dashboard/explore").content.decode()
    link = re.search(r'href="\?([^"]*)">Germany</a>', page)
    assert link
    assert sorted(parse_qsl(unescape(link[1]))) == sorted(parse_qsl(kept))  # PostgreSQL has its own sort order
    assert "Germany</a>" not in signed_in(User.objects.create_user("carol")).get("/dashboard/explore").content.decode()


def test_the_same_name_replaces_the_earlier_view(alice: User) -> None:
    browser = signed_in(alice)
    for query in ("range=7d", "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&tz=Asia/Tokyo"):
        browser.post(VIEWS, {"name": "mine", "query": query})
    assert SavedView.objects.get().view == {
        "from": "2026-01-01T00:00:00Z",
        "to": "2026-01-02T00:00:00Z",
        "tz": "Asia/Tokyo",
    }


def test_an_account_has_a_maximum_number_of_views(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MAX_VIEWS", 1)
    browser = signed_in(alice)
    for name in ("one", "two", "one"):
        browser.post(VIEWS, {"name": name, "query": "country=DE"})
    assert [saved.name for saved in SavedView.objects.all()] == ["one"]
    assert "at most 1 saved views" in browser.get("/dashboard/explore").content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "order=x",
        "from=x&to=y",
        "from=2026-01-01&to=2099-01-01",
        "country=xyz&domain=a.example",
        "tz=Mars/Olympus",
        "interval=1m",
        "sort=domain",
        "%FF=%FF&range=7d&sort=%FF",
    ],
)
def test_an_invalid_view_is_refused_with_a_message(alice: User, query: str) -> None:
    browser = signed_in(alice)
    answer = browser.post(VIEWS, {"name": "mine", "query": query})
    assert answer["Location"].startswith("/dashboard/explore?")  # the input, to be corrected
    assert "The view was not saved" in browser.get(answer["Location"]).content.decode()
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("query", ["interval=15m", "interval=1d", "sort=count", "interval=&sort="])
def test_a_saved_view_includes_interval_and_order(alice: User, query: str) -> None:
    signed_in(alice).post(VIEWS, {"name": "mine", "query": query})
    assert SavedView.objects.get().view == {"range": "7d", **dict(parse_qsl(query))}


@pytest.mark.parametrize("name", ["", "  ", "\0"])
def test_a_view_needs_a_name(alice: User, name: str) -> None:
    signed_in(alice).post(VIEWS, {"name": name, "query": "domain=%00"})
    assert not SavedView.objects.exists()


def test_views_of_other_accounts_are_not_found_and_viewers_cannot_change_views(alice: User, bob: User) -> None:
    saved = SavedView.objects.create(account=alice, name="hers", view={"range": "7d"})
    his = signed_in(bob)
    assert his.post(f"{VIEWS}/{saved.published_id}/delete").status_code == 404
    Membership.objects.create(account=alice, person=bob, role=Role.VIEWER, created_at=timezone.now())
    his.post("/dashboard/switch", {"account": alice.published_id})
    assert "hers</a>" in his.get("/dashboard/explore").content.decode()
    assert his.post(f"{VIEWS}/{saved.published_id}/delete").status_code == 403
    assert his.post(VIEWS, {"name": "his", "query": "range=7d"}).status_code == 403
    assert signed_in(alice).post(f"{VIEWS}/{saved.published_id}/delete")["Location"] == "/dashboard/explore"
    assert not SavedView.objects.exists()
