"""Every list of the staff console: a constant number of queries, search, filters and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Group as AuthGroup
from django.db import connection
from django.db.models import Model
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import admin_base, applications, services
from accounts.admin_base import CappedPaginator, ConsoleAdmin
from accounts.audit_trail import Actor, record
from accounts.models import AuditRecord, User
from analytics.models import AbuseReport, IngestBatch, InsertBlock
from fonproxy.api import renderers
from geo import multiplier_changes
from geo.models import CountSnapshot, Multiplier, StaticIp
from orders import enforcement
from orders.models import (
    EventDelivery,
    LedgerMismatch,
    Order,
    Product,
    ProviderEvent,
    ProxyUser,
    WebhookEndpoint,
)
from usage.alerts import services as alerts
from usage.models import Alert, Delivery, Firing

pytestmark = pytest.mark.django_db

LISTS = {f"{model._meta.app_label}/{model._meta.model_name}": model for model in admin.site._registry}
TYPES = ("mobile-giga", "residential-giga", "datacenter-giga", "server-static", "private-proxy")

MakeOrder = Callable[..., Order]


@pytest.fixture
def fill(make_order: MakeOrder) -> Callable[[range], None]:
    """A row of every model for each number, no two of which have the same owner."""

    def one(number: int) -> None:
        now = timezone.now()
        user = User.objects.create_user(f"user-{number}")
        order = make_order(user, name=f"order-{number}", limit=10**9, logins=(f"login-{number}",))
        Product.objects.create(name=f"product-{number}", proxy_type="mobile-giga", network="mobile")
        services.issue_key(user=user, name=f"key-{number}", scopes=("read",), now=now)
        applications.create(user, f"API {number}", now)
        AuthGroup.objects.create(name=f"group-{number}")
        StaticIp.objects.create(address=f"10.0.0.{number}", proxy_type="server-static")
        own = Multiplier(proxy_type="mobile-giga", country="*", pool=f"pool-{number}", factor=Decimal(1))
        multiplier_changes.save(own, None, timezone.now())
        block = InsertBlock.objects.create(created_at=now, claimed_until=now)
        IngestBatch.objects.create(
            account=user, route="traffic", rows=1, size=1, dirty_days=[], created_at=now, claimed_until=now, block=block
        )
        AbuseReport.objects.create(reference=f"case {number}", text="192.0.2.7 2026-11-30", author=user)
        record("put", AuditRecord.Kind.USER, user.pk, actor=Actor(), now=now)
        LogEntry.objects.log_actions(user.pk, [order], ADDITION)
        enforcement.publish([order], now, force=True)
        LedgerMismatch.objects.create(order=order, recorded=1, measured=2, found_at=now)
        alert = alerts.create(order, 50, Alert.Method.EMAIL, now=now)
        endpoint = WebhookEndpoint.objects.create(url="https://example.com/", sealed_secret="", created_at=now)
        event = ProviderEvent.objects.create(type="order.expired", user_number=1, data={}, occurred_at=now)
        EventDelivery.objects.create(event=event, endpoint=endpoint, next_attempt_at=now)
        firing = Firing.objects.create(
            alert=alert, arming=1, threshold=50, used_bytes=60, limit_bytes=100, fired_at=now
        )
        Delivery.objects.create(firing=firing, target=f"a-{number}@example.com", attempts=2, next_attempt_at=now)

    def every(numbers: range) -> None:
        for number in numbers:
            one(number)
        for proxy_type in TYPES:
            CountSnapshot.objects.get_or_create(proxy_type=proxy_type, defaults={"loaded_at": timezone.now()})

    return every


def questions(browser: Browser, path: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        answer = browser.get(path)
        assert answer.status_code == 200
        assert answer.getvalue()
    return len(asked)


def test_no_list_takes_more_queries_for_twenty_rows_than_for_five(
    browser: Browser, fill: Callable[[range], None]
) -> None:
    pages = [f"/admin/{name}/" for name in LISTS]
    pages += [f"{page}csv/" for page in pages]
    with time_machine.travel(timezone.now(), tick=False):  # once a minute a session records its use
        fill(range(5))
        browser.get(pages[0])  # caches once-per-process queries
        few = {page: questions(browser, page) for page in pages}
        fill(range(5, 20))
        many = {page: questions(browser, page) for page in pages}
    assert many == few
    assert max(few.values()) <= 12


def test_an_orders_change_page_takes_no_more_queries_for_many_logins(browser: Browser, make_order: MakeOrder) -> None:
    owner = User.objects.create_user("owner")
    one, many = (make_order(owner, limit=1, logins=tuple(f"{n}-{i}" for i in range(n))) for n in (1, 30))
    asked = [questions(browser, f"/admin/orders/order/{order.pk}/change/") for order in (one, one, many)]
    assert asked[1] == asked[2]


@pytest.mark.parametrize("model", LISTS.values())
def test_every_list_is_a_console_list_that_can_be_searched(model: type[Model]) -> None:
    page = admin.site._registry[model]
    assert isinstance(page, ConsoleAdmin)
    assert not page.show_full_result_count
    assert page.search_fields


@pytest.mark.parametrize("name", LISTS)
def test_no_search_breaks_a_list_or_its_csv(browser: Browser, name: str) -> None:
    for term in ("no such thing", "9" * 40, "\0", "ö", "2", "%", "'"):
        assert browser.get(f"/admin/{name}/", {"q": term}).status_code == 200, term
        answer = browser.get(f"/admin/{name}/csv/", {"q": term})
        assert answer.status_code == 200, term
        assert answer.getvalue().startswith(b"\xef\xbb\xbf"), term


@pytest.mark.parametrize("term", ["\0", "%", "'", "9" * 40])
def test_any_autocomplete_term_is_answered(browser: Browser, term: str) -> None:
    query = {"app_label": "orders", "model_name": "order", "field_name": "user", "term": term}
    assert browser.get("/admin/autocomplete/", query).status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_every_filter_of_a_list_opens(browser: Browser, fill: Callable[[range], None], name: str) -> None:
    fill(range(2))
    answer = browser.get(f"/admin/{name}/")
    changelist = answer.context["cl"]
    for spec in changelist.filter_specs:
        for choice in spec.choices(changelist):
            assert browser.get(f"/admin/{name}/{choice['query_string']}").status_code == 200, choice


def read(browser: Browser, path: str, **query: str) -> list[list[str]]:
    answer = browser.get(path, query)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


@pytest.mark.parametrize(("name", "model"), LISTS.items())
def test_a_lists_csv_has_all_its_rows(
    browser: Browser, fill: Callable[[range], None], name: str, model: type[Model]
) -> None:
    fill(range(3))
    header, *rows = read(browser, f"/admin/{name}/csv/")
    assert len(rows) == model._default_manager.count() > 0
    assert all(header)
    assert {len(row) for row in rows} == {len(header)}


def test_csv_obeys_search_and_filters_and_goes_beyond_the_page(browser: Browser) -> None:
    StaticIp.objects.bulk_create(
        StaticIp(address=f"10.0.{n >> 8}.{n & 255}", proxy_type="server-static", is_available=n % 2 == 0)
        for n in range(1200)
    )
    assert len(read(browser, "/admin/geo/staticip/csv/")) == 1201
    assert len(read(browser, "/admin/geo/staticip/csv/", q="10.0.1.", is_available__exact="1")) == 129
    assert browser.get("/admin/geo/staticip/csv/", {"nothing": "x"}).headers["Location"] == "/admin/geo/staticip/?e=1"


@pytest.mark.parametrize("path", ["/admin/orders/order/csv/", "/admin/outlook/?show=ending&format=csv"])
def test_excel_recognizes_the_encoding_of_a_download(browser: Browser, path: str) -> None:
    assert browser.get(path).getvalue().startswith("\ufeff".encode())


def test_csv_keeps_the_lists_order_while_rows_change(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_base, "CHUNK", 2)
    monkeypatch.setattr(renderers, "LINES", 3)
    users = [User.objects.create_user(f"user-{letter}") for letter in "dbeac"]
    answer: Any = browser.get("/admin/accounts/user/csv/", {"o": "1"})
    parts = iter(answer.streaming_content)
    read = next(parts)
    User.objects.create_user("user-0")
    User.objects.filter(pk=users[2].pk).delete()
    read += b"".join(parts)
    names = [row["username"] for row in csv.DictReader(io.StringIO(read.decode("utf-8-sig")))]
    assert [name for name in names if name.startswith("user-")] == ["user-a", "user-b", "user-c", "user-d"]


def test_a_third_concurrent_csv_download_is_refused(browser: Browser) -> None:
    held = [browser.get("/admin/accounts/user/csv/") for _ in range(2)]
    told = browser.get("/admin/accounts/user/csv/", follow=True)
    assert "2 exports of this account are running." in told.content.decode()
    assert all(answer.getvalue() for answer in held)
    assert browser.get("/admin/accounts/user/csv/").getvalue()


def test_csv_has_bytes_as_numbers_and_no_formulas(browser: Browser, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice, name="=1+1", limit=10**10, expires_at=timezone.now() + timedelta(days=1))
    [row] = list(csv.DictReader(io.StringIO(browser.get("/admin/orders/order/csv/").getvalue().decode("utf-8-sig"))))
    assert row["name"] == "'=1+1"
    assert row["limit_bytes"] == row["left_bytes"] == str(10**10)
    assert order.expires_at is not None
    assert row["expires_at"] == order.expires_at.isoformat()


def test_csv_is_for_those_who_may_see_the_list(helper: User) -> None:
    browser = Browser()
    assert browser.get("/admin/accounts/user/csv/").status_code == 302
    browser.force_login(helper)
    assert browser.get("/admin/accounts/user/csv/").status_code == 403


def test_the_bytes_left_column_is_right_when_a_search_matches_several_logins(
    browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    make_order(alice, limit=3 * 2**30, logins=("al-1", "al-2", "al-3"))
    assert "3.00 GB" in browser.get("/admin/orders/order/", {"q": "al-"}).content.decode()
    make_order(alice, limit=2**30, logins=("al-4",))
    page = browser.get("/admin/orders/order/", {"q": "al-"})
    assert [row.left_bytes for row in page.context["cl"].result_list] == [2**30, 3 * 2**30]


DESTRUCTIVE = [
    ("accounts/apikey", "revoke"),
    ("accounts/application", "rotate_keys"),
    ("accounts/application", "end_keys"),
    ("orders/order", "suspend"),
    ("orders/order", "expire"),
    ("analytics/ingestbatch", "void"),
    ("geo/staticip", "mark_unavailable"),
    ("geo/staticip", "delete_selected"),
    ("geo/multiplier", "delete_selected"),
    ("usage/alert", "delete_selected"),
]


@pytest.mark.parametrize(("name", "action"), DESTRUCTIVE)
def test_irreversible_actions_ask_for_confirmation(
    browser: Browser, fill: Callable[[range], None], name: str, action: str
) -> None:
    fill(range(2))
    model = LISTS[name]
    before = list(model._default_manager.values())
    row = model._default_manager.latest("pk")
    answer = browser.post(f"/admin/{name}/", {"action": action, "_selected_action": row.pk})
    assert answer.status_code == 200
    assert "Are you sure" in answer.content.decode()
    assert str(row) in answer.content.decode()
    assert list(model._default_manager.values()) == before


def test_actions_on_more_rows_than_the_list_counts_are_refused(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CappedPaginator, "MAX_ROWS", 3)
    StaticIp.objects.bulk_create(StaticIp(address=f"10.0.0.{n}", proxy_type="server-static") for n in range(4))
    chosen = {"action": "mark_unavailable", "select_across": "1", "_selected_action": "1", "confirmed": "yes"}
    assert "More than 3 rows" in browser.post("/admin/geo/staticip/", chosen, follow=True).content.decode()
    assert StaticIp.objects.filter(is_available=True).count() == 4
    StaticIp.objects.filter(address="10.0.0.0").delete()
    browser.post("/admin/geo/staticip/", chosen)
    assert not StaticIp.objects.filter(is_available=True).exists()


def test_logins_are_found_by_their_customer(browser: Browser, alice: User, make_order: MakeOrder) -> None:
    make_order(alice, logins=("al-1",))
    assert list(browser.get("/admin/orders/proxyuser/", {"q": "alice"}).context["cl"].result_list) == list(
        ProxyUser.objects.all()
    )


@pytest.mark.parametrize(
    "query",
    [
        f"user={'9' * 30}",
        f"user={'9' * 5000}",
        "created_at__year=99999999999",
        f"pk__gt={'9' * 30}",
        "name__regex=[",
        "username__regex=(",
        f"q={'word ' * 400}",
    ],
    ids=lambda query: query[:20],
)
def test_no_query_makes_a_list_fail(browser: Browser, query: str) -> None:
    for name in LISTS:
        for path in (f"/admin/{name}/?{query}", f"/admin/{name}/csv/?{query}"):
            assert browser.get(path).status_code in (200, 302, 400), path


def test_an_empty_list_says_so_and_offers_to_clear_the_search(browser: Browser) -> None:
    page = "/admin/analytics/abusereport/"
    assert "There are no abuse reports yet." in browser.get(page).content.decode()
    AbuseReport.objects.create(reference="case 1", text="192.0.2.7 2026-11-30")
    for query in ("?q=nothing", "?state=closed"):
        assert 'Nothing matches. <a href="?">Show all</a>' in browser.get(f"{page}{query}").content.decode()
    told = browser.get(page).content.decode()
    assert "Nothing matches." not in told
    assert "There are no" not in told


@pytest.mark.parametrize("key", ["x", "9" * 25, "-1", "\0"])
def test_actions_on_malformed_keys_are_refused(admin_client: Browser, key: str) -> None:
    for path, action in (
        ("/admin/orders/order/", "suspend"),
        ("/admin/accounts/user/", "delete_selected"),
        ("/admin/orders/providerevent/", "send_again"),
    ):
        answer = admin_client.post(path, {"action": action, "_selected_action": key, "index": "0"})
        assert answer.status_code < 500, path


def test_rows_beyond_the_range_of_keys_are_not_found(admin_client: Browser) -> None:
    answer = admin_client.get(f"/admin/orders/cutoff/{'9' * 25}/change/", follow=True)
    assert answer.status_code < 500
