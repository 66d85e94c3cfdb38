"""A customer's page, and stopping everything of a customer."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import audit_trail, services
from accounts.models import AuditRecord, User
from console import stop_everything
from fonproxy.clickhouse.client import Client
from orders import enforcement
from orders import services as order_services
from orders.models import CutOff, Order, ProxySession
from orders.periods import Every, RecurringPeriod
from tests.analytics.helpers import documented_row, engine_unavailable, push
from tests.console.test_lists import questions
from usage.alerts import services as alerts
from usage.models import Alert, Delivery, Firing
from usage.tasks import keep_accounts

pytestmark = pytest.mark.django_db
MakeOrder = Callable[..., Order]


def text_of(browser: Browser, user: User, part: str = "") -> str:
    answer = browser.get(f"/admin/customers/{user.pk}/{part}")
    assert answer.status_code == 200
    return " ".join(re.sub("<[^>]*>", " ", answer.content.decode().partition("<main")[2]).split())


def test_the_page_shows_usage_orders_logins_keys_errors_and_ledger(
    clean_engine: Client,
    browser: Browser,
    alice: User,
    worker: User,
    make_order: MakeOrder,
    client_for: Callable[..., APIClient],
) -> None:
    order = make_order(alice, name="Winter pack", limit=10 * 2**30, logins=("winter",))
    services.issue_key(user=alice, name="script", scopes=("read",), now=timezone.now())
    row = {"user_id": alice.pk, "order_id": order.pk, "bytes_sent": 2**30, "bytes_received": 0, "count": 5}
    rows = [documented_row(**row), documented_row(**row | {"bytes_sent": 0, "error": "refused", "error_count": 3})]
    assert push(client_for(worker, "ingest"), rows).status_code == 204
    keep_accounts()
    told = text_of(browser, alice)
    assert "30 days 1 GB; the 30 days before 0 bytes." in told
    assert "Winter pack" in told
    assert "9.00 GB (90 %) 10.00 GB" in told
    assert "winter Winter pack" in told
    assert "script (fnp_" in told
    assert "refused 3" in told
    assert "Usage -1 GB 10" in told


def test_the_page_shows_when_an_order_renews_automatically(
    clean_engine: Client, browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    now = timezone.now()
    order = make_order(alice, limit=2**30, started_at=now, now=now, period=RecurringPeriod(Every.MONTH, now.date()))
    assert order.next_renewal is not None
    assert f"never renews {order.next_renewal:%Y-%m-%d %H:%M}" in text_of(browser, alice)


def test_a_customer_without_anything_has_a_page_that_says_so(
    clean_engine: Client, browser: Browser, alice: User
) -> None:
    told = text_of(browser, alice)
    for empty in ("No traffic in the last 30 days.", "No order yet.", "No proxy login yet.", "No API key.",
                  "No alert has fired.", "No entry yet.", "No note yet."):  # fmt: skip
        assert empty in told


def test_the_page_works_while_clickhouse_does_not(clean_engine: Client, browser: Browser, alice: User) -> None:
    with engine_unavailable():
        assert "ClickHouse is unavailable: try again later." in text_of(browser, alice)


def test_sent_mails_are_listed_with_their_outcome(
    engine: Client, browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    now = timezone.now()
    alert = alerts.create(make_order(alice, limit=100), 50, Alert.Method.EMAIL, now=now)
    firing = Firing.objects.create(alert=alert, arming=1, threshold=50, used_bytes=60, limit_bytes=100, fired_at=now)
    Delivery.objects.create(firing=firing, target="al@example.org", next_attempt_at=now)
    assert "al@example.org (waiting)" in text_of(browser, alice)


def test_notes_are_kept_with_their_author(engine: Client, browser: Browser, alice: User) -> None:
    browser.post(f"/admin/customers/{alice.pk}/note/", {"note": "Calls from <Munich>"})
    answer = browser.get(f"/admin/customers/{alice.pk}/").content.decode()
    assert "Calls from &lt;Munich&gt;</p>" in answer
    assert "root</span><br>" in answer
    browser.post(f"/admin/customers/{alice.pk}/note/", {"note": ""})
    assert LogEntry.objects.filter(change_message__startswith="Note: ").count() == 1


def test_a_note_needs_the_permission_to_change_that_account(
    engine: Client, alice: User, staff: User, helper: User, viewer: User
) -> None:
    browser = Browser()
    browser.force_login(staff)
    assert browser.post(f"/admin/customers/{alice.pk}/note/", {"note": "a"}).status_code == 302
    assert browser.post(f"/admin/customers/{helper.pk}/note/", {"note": "a"}).status_code == 403
    assert "Add note" not in browser.get(f"/admin/customers/{helper.pk}/").content.decode()
    browser.force_login(viewer)
    assert browser.post(f"/admin/customers/{alice.pk}/note/", {"note": "a"}).status_code == 403
    assert LogEntry.objects.filter(change_message__startswith="Note: ").count() == 1


def test_sections_need_the_permission_to_view_their_list(engine: Client, alice: User, helper: User) -> None:
    browser = Browser()
    browser.force_login(helper)
    assert browser.get(f"/admin/customers/{alice.pk}/").status_code == 403
    helper.user_permissions.add(Permission.objects.get(codename="view_user"))
    told = text_of(browser, alice)
    for title in ("Orders (", "Proxy logins (", "API keys", "Ledger", "Staff actions", "Stop everything"):
        assert title not in told
    assert "No note yet" not in told


def test_the_page_and_the_outlook_ask_no_more_for_many_rows_than_for_few(
    clean_engine: Client, browser: Browser, alice: User, staff: User, make_order: MakeOrder
) -> None:
    now = timezone.now()

    def add(numbers: range) -> None:
        for n in numbers:
            order = make_order(
                alice, name=f"order {n}", limit=2**30, logins=(f"login-{n}",), expires_at=now + timedelta(hours=1)
            )
            services.issue_key(user=alice, name=f"key {n}", scopes=("read",), now=now)
            alert = alerts.create(order, 50, Alert.Method.EMAIL, now=now)
            firing = Firing.objects.create(
                alert=alert, arming=1, threshold=50, used_bytes=60, limit_bytes=100, fired_at=now
            )
            Delivery.objects.create(firing=firing, target="al@example.org", next_attempt_at=now)
            LogEntry.objects.log_actions(staff.pk, [order], CHANGE)
            audit_trail.record("put", AuditRecord.Kind.ORDER, order.pk, actor=audit_trail.Actor(staff.pk), now=now)

    paths = (f"/admin/customers/{alice.pk}/", f"/admin/customers/{alice.pk}/stop/", "/admin/outlook/?show=ending")
    with time_machine.travel(now, tick=False):  # once a minute a session notes when it was used
        add(range(2))
        for path in paths:
            browser.get(path)  # remembers what is asked once in a process
        few = [questions(browser, path) for path in paths]
        add(range(2, 9))
        assert [questions(browser, path) for path in paths] == few


def test_all_lines_and_all_logins_are_those_of_the_customer_alone(
    clean_engine: Client, browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    other = User.objects.create_user("alice-2")
    for user, name in ((alice, "own"), (other, "foreign")):
        make_order(user, name=f"{name} order", limit=100, logins=(f"{name}-login",))
    ledger, logins, alerts = (
        f"/admin/{name}/?customer={alice.pk}" for name in ("orders/ledgerentry", "orders/proxyuser", "usage/alert")
    )
    page = browser.get(f"/admin/customers/{alice.pk}/").content.decode()
    assert ledger in page
    assert alerts in page
    for path in (ledger, logins, alerts):
        page = browser.get(path).content.decode()
        assert "own order" in page
        assert "foreign" not in page
    for text in ("", "x", "0", "9" * 30):
        assert "own order" not in browser.get(f"/admin/orders/ledgerentry/?customer={text}").content.decode()


@pytest.fixture
def bought(alice: User, make_order: MakeOrder, now: datetime) -> tuple[Order, Order, Order]:
    """An active order, one that was suspended before, and one that has expired."""
    active, suspended, expired = (
        make_order(alice, name=name, limit=100, logins=(f"{name}-login",)) for name in ("active", "idle", "old")
    )
    order_services.suspend(suspended, now - timedelta(days=1))
    order_services.expire(expired, now - timedelta(days=1))
    return active, suspended, expired


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 30, 3, 0, tzinfo=UTC)


def states(orders: tuple[Order, ...], now: datetime) -> list[str]:
    return [Order.objects.get(pk=order.pk).status(now).value for order in orders]


def test_a_stop_covers_orders_logins_keys_applications_and_sign_ins(
    engine: Client, alice: User, staff: User, bought: tuple[Order, ...], make_key: Callable[..., str], now: datetime
) -> None:
    secret = make_key(alice)
    api = APIClient()
    assert api.get("/orders", headers={"x-api-key": secret}).status_code == 200
    customer = Browser()
    customer.force_login(alice)
    ProxySession.objects.create(
        session="s", worker="w", login="active-login", started_at=now, order=bought[0],
        proxy_user_number=bought[0].proxy_users.get().pk, seen_at=now,
    )  # fmt: skip
    before = enforcement.last_number()
    stopped = stop_everything.stop(alice, staff, now)
    assert [order.name for order in stopped.orders] == ["active"]
    assert stopped.logins == ["active-login"]
    assert (stopped.sign_ins, stopped.connections, stopped.account) == (1, 1, True)
    assert states(bought, now) == ["suspended", "suspended", "expired"]
    [change] = enforcement.changes_since(before, 10)
    assert (change.state, change.logins) == (CutOff.State.SUSPENDED, ["active-login"])
    assert api.get("/orders", headers={"x-api-key": secret}).status_code == 401
    assert customer.get("/dashboard").status_code == 302
    assert [stop.at for stop in stop_everything.stops(alice)] == [now]


def test_undo_restores_exactly_the_stopped_items(
    engine: Client, alice: User, staff: User, bought: tuple[Order, ...], make_key: Callable[..., str], now: datetime
) -> None:
    secret = make_key(alice)
    stop_everything.stop(alice, staff, now)
    later = now + timedelta(hours=1)
    resumed = stop_everything.undo(alice, staff, later)
    assert [order.name for order in resumed.orders] == ["active"]
    assert states(bought, later) == ["active", "suspended", "expired"]
    assert APIClient().get("/orders", headers={"x-api-key": secret}).status_code == 200
    assert not stop_everything.stops(alice)
    with pytest.raises(stop_everything.NothingToDo):
        stop_everything.undo(alice, staff, later)


def test_undo_leaves_an_already_deactivated_account_deactivated(
    engine: Client, alice: User, staff: User, bought: tuple[Order, ...], now: datetime
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not stop_everything.stop(alice, staff, now).account
    stop_everything.undo(alice, staff, now + timedelta(hours=1))
    alice.refresh_from_db()
    assert not alice.is_active
    assert states(bought, now) == ["active", "suspended", "expired"]


def by_form(browser: Browser, user: User, *, is_active: bool, was_active: bool) -> None:
    """Sends the form as it was opened while the account was active or inactive."""
    user.refresh_from_db()
    fields = {"username": user.username, "email": user.email, "first_name": "Al", "initial-is_active": str(was_active)}
    answer = browser.post(
        f"/admin/accounts/user/{user.pk}/change/", fields | ({"is_active": "on"} if is_active else {})
    )
    assert answer.status_code == 302
    user.refresh_from_db()
    assert user.first_name == "Al"


def test_undoing_leaves_an_account_that_was_activated_and_deactivated_by_its_form_since(
    engine: Client, browser: Browser, alice: User, staff: User, bought: tuple[Order, ...], now: datetime
) -> None:
    stop_everything.stop(alice, staff, now)
    by_form(browser, alice, is_active=True, was_active=False)
    assert alice.is_active
    by_form(browser, alice, is_active=False, was_active=True)
    assert not stop_everything.undo_reach(alice, now).account
    stop_everything.undo(alice, staff, now + timedelta(hours=1))
    alice.refresh_from_db()
    assert not alice.is_active
    assert states(bought, now)[0] == "active"


def test_an_account_activated_by_its_form_and_stopped_again_comes_back_by_undoing(
    engine: Client, browser: Browser, alice: User, staff: User, bought: tuple[Order, ...], now: datetime
) -> None:
    stop_everything.stop(alice, staff, now)
    by_form(browser, alice, is_active=True, was_active=False)
    stop_everything.stop(alice, staff, now + timedelta(minutes=1))
    stop_everything.undo(alice, staff, now + timedelta(hours=1))
    alice.refresh_from_db()
    assert alice.is_active


def test_a_form_that_was_open_during_the_stop_does_not_activate_the_account(
    engine: Client, browser: Browser, alice: User, staff: User, bought: tuple[Order, ...], now: datetime
) -> None:
    form = browser.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()
    assert 'name="initial-is_active" value="True"' in form
    stop_everything.stop(alice, staff, now)
    by_form(browser, alice, is_active=True, was_active=True)
    assert not alice.is_active
    assert stop_everything.undo_reach(alice, now).account


def test_undoing_leaves_orders_that_expired_since(
    engine: Client, alice: User, staff: User, bought: tuple[Order, ...], now: datetime
) -> None:
    stop_everything.stop(alice, staff, now)
    order_services.expire(bought[0], now + timedelta(minutes=1))
    assert stop_everything.undo(alice, staff, now + timedelta(hours=1)).orders == []
    alice.refresh_from_db()
    assert alice.is_active


def test_undoing_leaves_an_order_that_billing_suspended_since(
    engine: Client,
    alice: User,
    staff: User,
    bought: tuple[Order, ...],
    client_for: Callable[..., APIClient],
) -> None:
    Order.objects.filter(pk=bought[0].pk).update(external_id="o-1")
    stop_everything.stop(alice, staff, timezone.now())
    answer = client_for(staff, "provision").post("/provisioning/orders/o-1/suspend")
    assert answer.status_code == 200
    later = timezone.now()
    assert stop_everything.undo(alice, staff, later).orders == []
    assert states(bought, later) == ["suspended", "suspended", "expired"]


def test_an_order_that_expired_during_the_stop_is_active_once_it_is_renewed(
    engine: Client, alice: User, staff: User, bought: tuple[Order, ...], now: datetime
) -> None:
    stop_everything.stop(alice, staff, now)
    order_services.expire(bought[0], now + timedelta(minutes=1))
    later = now + timedelta(hours=1)
    stop_everything.undo(alice, staff, later)
    assert states(bought, later) == ["expired", "suspended", "expired"]
    Order.objects.filter(pk=bought[0].pk).update(expires_at=None)
    assert states(bought, later) == ["active", "suspended", "expired"]


def test_stopping_twice_changes_nothing_the_second_time(
    engine: Client, alice: User, staff: User, bought: tuple[Order, ...], now: datetime
) -> None:
    stop_everything.stop(alice, staff, now)
    records = AuditRecord.objects.count()
    with pytest.raises(stop_everything.NothingToDo):
        stop_everything.stop(alice, staff, now + timedelta(minutes=1))
    assert AuditRecord.objects.count() == records
    assert [stop.at for stop in stop_everything.stops(alice)] == [now]


def test_a_stop_that_fails_half_way_stops_nothing(
    engine: Client,
    alice: User,
    staff: User,
    bought: tuple[Order, ...],
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(User, "save", fail)
    with pytest.raises(RuntimeError):
        stop_everything.stop(alice, staff, now)
    assert states(bought, now) == ["active", "suspended", "expired"]
    assert not AuditRecord.objects.exists()


def test_the_page_previews_the_stop_then_performs_and_logs_it(
    engine: Client, browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    order = make_order(alice, name="Winter pack", limit=100, logins=("winter",))
    told = text_of(browser, alice, "stop/")
    assert "Orders (1) Winter pack Proxy logins of these orders (1) winter; 0 running connections end" in told
    assert Order.objects.get(pk=order.pk).suspended_at is None
    browser.post(f"/admin/customers/{alice.pk}/stop/", {"note": "spam"})
    page = text_of(browser, alice)
    assert "Everything is stopped Stopped by root at " in page
    assert "Stopped everything: 1 orders with 1 logins, 0 API keys, 0 applications, 0 sign-ins. spam" in page
    assert {entry.object_repr for entry in LogEntry.objects.all()} == {"alice", str(order)}
    actions = set(AuditRecord.objects.values_list("action", flat=True))
    assert actions == {"stopped everything", "deactivated by stopping", "suspended"}
    assert "Winter pack" in text_of(browser, alice, "resume/")
    browser.post(f"/admin/customers/{alice.pk}/resume/", {"note": ""})
    assert "Everything is stopped" not in text_of(browser, alice)
    assert Order.objects.get(pk=order.pk).suspended_at is None


def test_a_stop_or_undo_that_finds_nothing_to_do_logs_nothing(
    engine: Client, browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    make_order(alice, limit=100)
    for part, told in (("stop/", "was already stopped"), ("resume/", "was already undone")):
        browser.post(f"/admin/customers/{alice.pk}/{part}", {"note": "first"})
        entries = LogEntry.objects.count()
        browser.post(f"/admin/customers/{alice.pk}/{part}", {"note": "again"})
        assert LogEntry.objects.count() == entries
        assert told in text_of(browser, alice)


def test_a_customer_resumed_without_undo_can_be_stopped_again(
    engine: Client, browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    order = make_order(alice, limit=100)
    browser.post(f"/admin/customers/{alice.pk}/stop/", {"note": ""})
    assert f"/admin/customers/{alice.pk}/stop/" not in browser.get(f"/admin/customers/{alice.pk}/").content.decode()
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert "Partly stopped" in text_of(browser, alice)
    assert "Now the account is active; the rest is still stopped." in text_of(browser, alice)
    order_services.resume(order, timezone.now())
    page = text_of(browser, alice).partition("Usage, last 30 days")[0]
    assert "topped" not in page
    assert "Undo" not in page
    assert f"/admin/customers/{alice.pk}/stop/" in browser.get(f"/admin/customers/{alice.pk}/").content.decode()
    browser.post(f"/admin/customers/{alice.pk}/stop/", {"note": ""})
    assert "Everything is stopped" in text_of(browser, alice)


def test_an_order_bought_after_the_stop_is_shown_and_can_be_stopped(
    engine: Client, browser: Browser, alice: User, make_order: MakeOrder
) -> None:
    browser.post(f"/admin/customers/{alice.pk}/stop/", {"note": ""})
    make_order(alice, limit=100)
    page = text_of(browser, alice)
    assert "Now at least one order is active; the rest is still stopped." in page
    assert "Everything is stopped" not in page
    assert f"/admin/customers/{alice.pk}/stop/" in browser.get(f"/admin/customers/{alice.pk}/").content.decode()


def test_undo_covers_every_stop_since_the_last_undo(
    engine: Client, alice: User, staff: User, bought: tuple[Order, ...], make_order: MakeOrder, now: datetime
) -> None:
    stop_everything.stop(alice, staff, now)
    added = make_order(alice, name="added", limit=100)
    stop_everything.stop(alice, staff, now + timedelta(minutes=1))
    later = now + timedelta(hours=1)
    resumed = stop_everything.undo(alice, staff, later)
    assert [order.name for order in resumed.orders] == ["active", "added"]
    assert states((*bought, added), later) == ["active", "suspended", "expired", "active"]
    alice.refresh_from_db()
    assert alice.is_active
    assert stop_everything.undo_reach(alice, later).is_empty


@pytest.mark.parametrize("part", ["stop/", "resume/"])
def test_stopping_needs_permissions_a_recent_proof_and_a_customer(
    engine: Client, browser: Browser, alice: User, staff: User, helper: User, part: str
) -> None:
    assert browser.post(f"/admin/customers/{staff.pk}/{part}", {"note": ""}).status_code == 403
    session = browser.session
    session["proved_at"] = 0.0
    session.save()
    answer = browser.post(f"/admin/customers/{alice.pk}/{part}", {"note": ""})
    assert answer["Location"].startswith("/confirm?")
    other = Browser()
    other.force_login(helper)
    helper.user_permissions.add(Permission.objects.get(codename="change_user"))
    assert other.post(f"/admin/customers/{alice.pk}/{part}", {"note": ""}).status_code == 403
    alice.refresh_from_db()
    assert alice.is_active


def test_the_list_links_customers_to_their_page_and_staff_to_their_form(
    engine: Client, browser: Browser, alice: User, staff: User
) -> None:
    page = browser.get("/admin/accounts/user/").content.decode()
    assert f"/admin/customers/{alice.pk}/" in page
    assert f"/admin/accounts/user/{staff.pk}/change/" in page


def test_the_form_of_a_customer_has_no_pickers_of_permissions(
    engine: Client, browser: Browser, alice: User, staff: User
) -> None:
    form = browser.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()
    assert 'name="email"' in form
    assert "user_permissions" not in form
    assert 'name="user_permissions"' in browser.get(f"/admin/accounts/user/{staff.pk}/change/").content.decode()
