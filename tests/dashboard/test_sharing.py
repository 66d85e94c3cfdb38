"""A share link shows one view to anyone who has it, and nothing else of the account."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import sharing
from accounts.models import AuditRecord, Membership, Role, ShareLink, User
from accounts.tasks import purge_sign_ins
from analytics.traffic import shared
from fonproxy.timerange import year_before
from orders.models import Order
from tests.analytics.helpers import documented_row, push, recently

SECRET = re.compile(r"http://[^<]*(/shared/[\w-]{43})")
REPORTS = ("traffic", "requests", "concurrency", "errors", "countries", "websites")
WEEK = {"range": "7d", "tz": "UTC"}


def signed_in(user: User) -> Client:
    cache.clear()
    browser = Client()
    browser.force_login(user)
    return browser


def made(browser: Client, query: str, moves: str = "0", days: str = "30") -> str:
    """The path of a new link."""
    answer = browser.post(f"/dashboard/shares/new?{query}", {"name": "For Kim", "moves": moves, "days": days})
    found = SECRET.search(answer.content.decode())
    assert found, answer.content.decode()
    return found[1]


@pytest.fixture
def orders(
    clean_engine: Any,
    alice: User,
    bob: User,
    staff: User,
    make_order: Callable[..., Order],
    client_for: Callable[..., APIClient],
) -> tuple[Order, Order]:
    """Two orders of alice's with traffic to a site each, and one of bob's."""
    first, second, his = make_order(alice, name="first"), make_order(alice, name="second"), make_order(bob, name="his")
    rows = [
        documented_row(user_id=order.user_id, order_id=order.pk, domain=domain, country=country, error="EOF")
        for order, domain, country in (
            (first, "a.example", "DE"),
            (second, "b.example", "US"),
            (his, "c.example", "JP"),
        )
    ]
    assert push(client_for(staff), rows).status_code == 204
    return first, second


def domains(path: str, **query: str) -> list[str]:
    return [row["domain"] for row in Client().get(f"{path}/websites", query).json()["data"]]


def test_anyone_with_the_link_reads_the_view_without_signing_in(alice: User, orders: tuple[Order, Order]) -> None:
    path = made(signed_in(alice), f"range=24h&order={orders[0].published_id}&domain=a.example")
    stranger = Client()
    page = stranger.get(path)
    assert (page.status_code, page["X-Robots-Tag"]) == (200, "noindex, nofollow")
    assert "no-store" in page["Cache-Control"]
    text = page.content.decode()
    assert ("For Kim" in text, "first" in text, "second" in text, "alice" in text) == (True, True, False, False)
    for report in REPORTS:
        answer = stranger.get(f"{path}/{report}")
        assert (answer.status_code, answer["X-Robots-Tag"]) == (200, "noindex"), report
        assert answer.json()["data"], report
        assert answer.json()["last_data_at"] is None
        assert stranger.get(f"{path}/{report}", {"format": "csv"})["Content-Type"].startswith("text/csv")
    assert "sessionid" not in stranger.cookies


def test_no_parameter_widens_the_shared_view(alice: User, bob: User, staff: User, orders: tuple[Order, Order]) -> None:
    path = made(signed_in(alice), f"range=24h&order={orders[0].published_id}")
    assert domains(path) == ["a.example"]
    wider = [
        {"orderId": orders[1].published_id},
        {"orderId": ""},
        {"domain": "b.example"},
        {"userId": bob.published_id},
        {"userId": str(bob.pk)},
        {"from": "2026-01-01", "to": "2026-02-01"},
        {"country": "US"},
        {"proxyUser": "x"},
    ]
    for query in wider:
        assert domains(path, **query) == ["a.example"]
        answer = signed_in(staff).get(f"{path}/websites", query)
        assert [row["domain"] for row in answer.json()["data"]] == ["a.example"]
    compared = Client().get(f"{path}/traffic", {"compare": "previous"}).json()
    assert "previous" not in compared
    assert Client().get(f"{path}/websites", {"limit": "1001"}).status_code == 400


@pytest.mark.parametrize(
    ("compare", "counted"), [("", None), ("&compare=1", "1"), ("&compare=year", "2"), ("&compare=x", None)]
)
def test_a_link_compares_with_the_period_that_its_view_draws(
    compare: str,
    counted: str | None,
    alice: User,
    staff: User,
    clean_engine: Any,
    make_order: Callable[..., Order],
    client_for: Callable[..., APIClient],
) -> None:
    start = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    order = make_order(alice)
    rows = [
        documented_row(user_id=alice.pk, order_id=order.pk, ts=f"{at:%Y-%m-%d} 03:00:00", count=count)
        for at, count in ((start, 5), (start - timedelta(days=1), 1), (year_before(start.date()), 2))
    ]
    assert push(client_for(staff), rows).status_code == 204
    ends = f"from={start:%Y-%m-%d}T00:00Z&to={start + timedelta(days=1):%Y-%m-%d}T00:00Z&tz=UTC"
    path = made(signed_in(alice), f"{ends}{compare}", moves="")
    answer = Client().get(f"{path}/traffic").json()
    assert answer["totals"]["total_count"] == "5"
    assert (answer["previous"]["totals"]["total_count"] if "previous" in answer else None) == counted
    websites = Client().get(f"{path}/websites").json()
    assert ([line["total_count"] for line in websites["previous"]["data"]] if counted else None) == (
        counted and [counted]
    )
    told = {"1": "previous period of the same length", "2": "the same period last year"}.get(counted or "")
    assert ("change from" in Client().get(path).content.decode()) == bool(told)
    assert (told or "") in Client().get(path).content.decode()


def test_a_link_opens_no_other_route(alice: User, orders: tuple[Order, Order]) -> None:
    path = made(signed_in(alice), "range=24h")
    stranger = Client()
    secret = path.rpartition("/")[2]
    for other in ("domains", "ingest", "history", "../orders"):
        assert stranger.get(f"{path}/{other}").status_code == 404
    for route in ("/orders", "/analytics/traffic?from=2026-01-01&to=2026-01-02", "/api/v1/me"):
        for headers in ({"x-api-key": secret}, {"Authorization": f"Bearer {secret}"}):
            assert stranger.get(route, headers=headers).status_code == 401
    assert stranger.post(f"{path}/traffic").status_code == 405
    assert stranger.post(path).status_code == 405


def test_an_error_page_does_not_say_whose_account_it_is(alice: User, orders: tuple[Order, Order]) -> None:
    path = made(signed_in(alice), f"range=24h&order={orders[0].published_id}")
    Order.objects.filter(pk=orders[0].pk).update(user=User.objects.create_user("carol"))  # the view's order is gone
    answer = Client().get(f"{path}/traffic", headers={"Accept": "text/html"})
    text = answer.content.decode()
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert ("Page not found" in text, "alice" in text, "Account menu" in text) == (True, False, False)


def test_a_link_ends_when_it_expires_is_revoked_or_its_account_is_locked(
    alice: User, orders: tuple[Order, Order]
) -> None:
    browser = signed_in(alice)
    path = made(browser, "range=24h", days="7")
    with time_machine.travel(timezone.now() + timedelta(days=7, seconds=1), tick=False):
        assert [Client().get(where).status_code for where in (path, f"{path}/traffic")] == [404, 404]
        purge_sign_ins()
        assert not ShareLink.objects.exists()
    path = made(browser, "range=24h")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert [Client().get(where).status_code for where in (path, f"{path}/traffic")] == [404, 404]
    User.objects.filter(pk=alice.pk).update(is_active=True)
    link = ShareLink.objects.get()
    assert "For Kim" in browser.get("/dashboard/shares").content.decode()
    assert signed_in(alice).post(f"/dashboard/shares/{link.published_id}/revoke")["Location"] == "/dashboard/shares"
    assert [Client().get(where).status_code for where in (path, f"{path}/traffic")] == [404, 404]
    actions = AuditRecord.objects.filter(number=alice.pk).order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["share link created", "share link created", "share link revoked"]


def test_neither_the_table_nor_the_log_reveals_a_link(
    alice: User, orders: tuple[Order, Order], caplog: pytest.LogCaptureFixture
) -> None:
    path = made(signed_in(alice), "range=24h")
    Client().get(path)
    Client().get(f"{path}/traffic")
    secret = path.rpartition("/")[2]
    assert secret not in str(ShareLink.objects.values().get())
    assert "/shared/<str:token>/traffic 200" in caplog.text
    assert secret not in caplog.text


@pytest.mark.django_db
def test_links_of_other_accounts_are_not_found_and_viewers_cannot_create_links(alice: User, bob: User) -> None:
    link, _ = sharing.create(alice, "hers", WEEK, timedelta(days=1), alice, timezone.now())
    his = signed_in(bob)
    assert his.post(f"/dashboard/shares/{link.published_id}/revoke").status_code == 404
    assert "hers" not in his.get("/dashboard/shares").content.decode()
    Membership.objects.create(account=alice, person=bob, role=Role.VIEWER, created_at=timezone.now())
    his.post("/dashboard/switch", {"account": alice.published_id})
    assert "hers" in his.get("/dashboard/shares").content.decode()
    assert his.get("/dashboard/shares/new").status_code == 403
    assert his.post(f"/dashboard/shares/{link.published_id}/revoke").status_code == 403
    assert ShareLink.objects.filter(account=alice).exists()


@pytest.mark.django_db
def test_a_members_links_end_with_the_membership(alice: User, bob: User) -> None:
    member = Membership.objects.create(account=alice, person=bob, role=Role.MANAGER, created_at=timezone.now())
    for maker in (alice, bob):
        sharing.create(alice, maker.username, WEEK, timedelta(days=1), maker, timezone.now())
    signed_in(alice).post(f"/dashboard/team/{member.published_id}/remove")
    assert [link.name for link in ShareLink.objects.all()] == ["alice"]


@pytest.mark.django_db
@pytest.mark.parametrize(("role", "links"), [("owner", 1), ("manager", 1), ("viewer", 0)])
def test_links_end_when_their_maker_s_role_may_no_longer_create_them(
    alice: User, bob: User, role: str, links: int
) -> None:
    member = Membership.objects.create(account=alice, person=bob, role=Role.OWNER, created_at=timezone.now())
    sharing.create(alice, "his", WEEK, timedelta(days=1), bob, timezone.now())
    signed_in(alice).post(f"/dashboard/team/{member.published_id}", {"role": role})
    assert ShareLink.objects.count() == links


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Role.OWNER, Role.MANAGER, Role.VIEWER, None])
def test_a_link_created_while_its_maker_loses_the_role_does_not_work(alice: User, bob: User, role: Role | None) -> None:
    if role:
        Membership.objects.create(account=alice, person=bob, role=role, created_at=timezone.now())
    _, secret = sharing.create(alice, "his", WEEK, timedelta(days=1), bob, timezone.now())
    assert (sharing.find(secret, timezone.now()) is not None) == (role in {Role.OWNER, Role.MANAGER})


@pytest.mark.django_db
@pytest.mark.parametrize("power", ["is_staff", "is_superuser"])
def test_links_of_members_who_become_staff_do_not_work(alice: User, bob: User, power: str) -> None:
    Membership.objects.create(account=alice, person=bob, role=Role.OWNER, created_at=timezone.now())
    _, secret = sharing.create(alice, "his", WEEK, timedelta(days=1), bob, timezone.now())
    User.objects.filter(pk=bob.pk).update(**{power: True})
    assert sharing.find(secret, timezone.now()) is None


def test_a_locked_users_link_does_not_work_and_can_be_revoked(
    alice: User, bob: User, orders: tuple[Order, Order]
) -> None:
    Membership.objects.create(account=alice, person=bob, role=Role.MANAGER, created_at=timezone.now())
    his = signed_in(bob)
    his.post("/dashboard/switch", {"account": alice.published_id})
    path = made(his, "range=24h")
    assert Client().get(path).status_code == 200
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert [Client().get(where).status_code for where in (path, f"{path}/traffic")] == [404, 404]
    assert "For Kim" in signed_in(alice).get("/dashboard/shares").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    [
        "from=x&to=y",
        "from=2026-01-01&to=2026-12-01",
        "order=x",
        "tz=Mars/Olympus",
        "country=xyz",
        "interval=1m",
        "sort=domain",
        "from=2026-02-01&to=2026-01-01",
    ],
)
def test_an_invalid_view_is_not_shared(alice: User, query: str) -> None:
    browser = signed_in(alice)
    for answer in (browser.get(f"/dashboard/shares/new?{query}"), browser.post(f"/dashboard/shares/new?{query}")):
        assert answer.status_code == 404
    assert not ShareLink.objects.exists()


@pytest.mark.django_db
def test_filters_with_characters_that_cannot_be_stored_are_dropped(alice: User) -> None:
    made(signed_in(alice), "range=7d&domain=%00&login=%00")
    assert ShareLink.objects.get().view.keys() == {"tz", "from", "to"}


@pytest.mark.django_db
def test_an_account_has_a_maximum_number_of_links(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MAX_LINKS", 1)
    browser = signed_in(alice)
    made(browser, "range=7d")
    answer = browser.post("/dashboard/shares/new", {"name": "one more", "moves": "1", "days": "7"})
    assert "at most 1 share links" in answer.content.decode()


def test_reads_of_a_link_have_their_own_throttle(
    alice: User, orders: tuple[Order, Order], monkeypatch: pytest.MonkeyPatch, client_for: Callable[..., APIClient]
) -> None:
    path = made(signed_in(alice), "range=24h")
    monkeypatch.setattr("fonproxy.api.throttles.SharedViewThrottle.rate", "2/min", raising=False)
    statuses = [Client().get(f"{path}/traffic").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert client_for(alice).get("/orders").status_code == 200


NOW = datetime(2026, 3, 29, 10, 20, 30, tzinfo=UTC)  # clocks in Berlin went forward this night


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("24h", "2026-03-28T11:00:00+00:00", "2026-03-29T10:21:00+00:00"),
        ("7d", "2026-03-22T23:00:00+00:00", "2026-03-29T10:21:00+00:00"),
        ("30d", "2026-02-27T23:00:00+00:00", "2026-03-29T10:21:00+00:00"),
        ("month", "2026-02-28T23:00:00+00:00", "2026-03-29T10:21:00+00:00"),
        ("last-month", "2026-01-31T23:00:00+00:00", "2026-02-28T23:00:00+00:00"),
    ],
)
def test_a_rolling_range_equals_the_pages_range_of_that_name(name: str, start: str, end: str) -> None:
    view = shared.view_of({"range": name}, "Europe/Berlin")
    assert shared.ends(view, NOW) == (start, end)
    assert shared.ends(shared.fixed(view, NOW), NOW + timedelta(days=9)) == (start, end)


def test_a_moving_view_follows_the_clock_and_a_fixed_one_does_not(
    alice: User, orders: tuple[Order, Order], staff: User, client_for: Callable[..., APIClient]
) -> None:
    browser = signed_in(alice)
    moving, stays = made(browser, "range=7d", moves="1"), made(browser, "range=7d", moves="0")
    with time_machine.travel(recently() + timedelta(hours=9 * 24), tick=False):
        assert domains(moving) == []
        assert domains(stays) == ["a.example", "b.example"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("range=7d", "Traffic"),
        ("range=7d&country=DE&domain=example.com", "Traffic: example.com, Germany"),
        (f"range=7d&domain={'x' * 60}.{'y' * 60}", f"Traffic: {'x' * 60}.{'y' * 30}"),
    ],
)
def test_a_link_is_named_after_its_filters_unless_renamed(query: str, name: str, alice: User) -> None:
    browser = Client()
    browser.force_login(alice)
    page = browser.get(f"/dashboard/shares/new?{query}").content.decode()
    assert f'name="name" value="{name}"' in page


def test_the_page_of_an_unknown_link_says_whom_to_ask(db: None) -> None:
    answer = Client().get(f"/shared/{'x' * 43}")
    assert answer.status_code == 404
    assert "expired or revoked. Ask the person who shared it" in answer.content.decode()
