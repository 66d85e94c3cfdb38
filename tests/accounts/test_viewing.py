"""Staff view the dashboard as a customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiKey, Membership, Role, User
from orders.models import Order

pytestmark = pytest.mark.django_db

STOP = "/admin/stop-viewing"


@pytest.fixture
def staff(staff: User) -> User:
    staff.user_permissions.set([Permission.objects.get(codename="view_user")])
    return staff


@pytest.fixture
def browser(staff: User) -> Client:
    browser = Client()
    browser.force_login(staff)
    return browser


def begin(browser: Client, user: User) -> Any:
    return browser.post(reverse("admin:accounts_user_view_as", args=[user.pk]))


def names_of_orders(browser: Client) -> list[str]:
    return [order["name"] for order in browser.get("/orders").json()["orders"]]


@pytest.fixture
def both_orders(alice: User, bob: User, make_order: Callable[..., Order]) -> None:
    make_order(alice, name="hers")
    make_order(bob, name="his")


def test_the_session_reads_as_the_customer_until_it_is_stopped(
    browser: Client, alice: User, bob: User, both_orders: None
) -> None:
    assert begin(browser, alice).headers["Location"] == "/dashboard"
    assert names_of_orders(browser) == ["hers"]
    begin(browser, bob)
    assert names_of_orders(browser) == ["his"]
    assert browser.post(STOP).headers["Location"] == f"/admin/accounts/user/{bob.pk}/change/"
    assert names_of_orders(browser) == []
    assert browser.post(STOP).headers["Location"] == "/admin/"


def test_viewing_a_customer_does_not_allow_reading_others(
    browser: Client, alice: User, bob: User, both_orders: None
) -> None:
    assert browser.get("/orders", {"userId": bob.published_id}).status_code == 200
    begin(browser, alice)
    assert browser.get("/orders", {"userId": bob.published_id}).status_code == 404
    assert browser.get("/metrics").status_code == 403


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api-keys"), ("DELETE", "/api-keys/x"), ("POST", "/applications")]
)
def test_staff_can_change_nothing_while_viewing(browser: Client, alice: User, method: str, path: str) -> None:
    begin(browser, alice)
    answer = browser.generic(method, path, '{"name": "mine"}', content_type="application/json")
    assert answer.status_code == 403
    assert "You are viewing as alice. Stop viewing before you change anything." in answer.content.decode()
    assert not ApiKey.objects.exists()
    browser.post(STOP)
    assert browser.post("/api-keys", '{"name": "mine"}', content_type="application/json").status_code == 201
    assert ApiKey.objects.get().user != alice


def test_a_key_or_token_acts_for_its_owner_while_the_session_views_a_customer(
    browser: Client, alice: User, bob: User, both_orders: None, make_key: Callable[..., str]
) -> None:
    begin(browser, alice)
    answer = browser.get("/orders", headers={"x-api-key": make_key(bob)})
    assert [order["name"] for order in answer.json()["orders"]] == ["his"]


def test_the_admin_keeps_acting_as_the_member_of_staff(browser: Client, staff: User, alice: User) -> None:
    begin(browser, alice)
    page = browser.get("/admin/")
    assert page.wsgi_request.user == staff
    assert "The dashboard shows what alice sees" in page.content.decode()
    browser.post(STOP)
    assert "The dashboard shows" not in browser.get("/admin/").content.decode()


def test_start_and_end_of_viewing_are_logged_once(browser: Client, staff: User, alice: User, bob: User) -> None:
    begin(browser, alice)
    begin(browser, alice)
    begin(browser, bob)
    browser.post(STOP)
    browser.post(STOP)
    logged = LogEntry.objects.order_by("pk").values_list("user_id", "object_id", "change_message")
    began, stopped = "Began viewing as this customer.", "Stopped viewing as this customer."
    assert list(logged) == [
        (staff.pk, str(alice.pk), began),
        (staff.pk, str(alice.pk), stopped),
        (staff.pk, str(bob.pk), began),
        (staff.pk, str(bob.pk), stopped),
    ]


@pytest.mark.parametrize("flags", [{"is_staff": True}, {"is_superuser": True}, {"is_active": False}])
def test_staff_and_locked_users_cannot_be_viewed(browser: Client, alice: User, flags: dict[str, bool]) -> None:
    User.objects.filter(pk=alice.pk).update(**flags)
    assert begin(browser, alice).status_code == 403
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("flags", [{"is_staff": True}, {"is_superuser": True}, {"is_active": False}])
def test_viewing_ends_when_the_customer_may_no_longer_be_viewed(
    browser: Client, alice: User, both_orders: None, flags: dict[str, bool]
) -> None:
    begin(browser, alice)
    User.objects.filter(pk=alice.pk).update(**flags)
    assert names_of_orders(browser) == []


def test_viewing_ends_for_good_with_the_permission(
    browser: Client, staff: User, alice: User, both_orders: None
) -> None:
    begin(browser, alice)
    permissions = list(staff.user_permissions.all())
    staff.user_permissions.clear()
    assert names_of_orders(browser) == []
    staff.user_permissions.set(permissions)
    assert names_of_orders(browser) == []


def test_viewing_ends_for_good_when_the_viewer_is_no_longer_staff(
    browser: Client, staff: User, alice: User, both_orders: None
) -> None:
    Membership.objects.create(account=alice, person=staff, role=Role.VIEWER, created_at=timezone.now())
    begin(browser, alice)
    for is_staff in (False, True):
        User.objects.filter(pk=staff.pk).update(is_staff=is_staff)
        assert names_of_orders(browser) == []


def test_viewing_ends_with_the_session(browser: Client, staff: User, alice: User, both_orders: None) -> None:
    begin(browser, alice)
    browser.logout()
    browser.force_login(staff)
    assert names_of_orders(browser) == []


def test_viewing_needs_the_permission(alice: User) -> None:
    browser = Client()
    browser.force_login(User.objects.create_user("helper", is_staff=True))
    assert begin(browser, alice).status_code == 403
    browser.force_login(alice)
    assert begin(browser, alice).status_code == 302  # to the login page
    assert "view_as" not in browser.session


def test_viewing_starts_by_post_with_a_csrf_token_only(staff: User, alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(staff)
    page = reverse("admin:accounts_user_view_as", args=[alice.pk])
    assert browser.get(page).status_code == 405
    assert browser.post(page).status_code == 403
    assert browser.get(STOP).status_code == 405
    assert browser.post(STOP).status_code == 403


def test_the_view_button_appears_only_for_viewable_users(browser: Client, staff: User, alice: User) -> None:
    assert "View as this customer" in browser.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()
    assert "View as this customer" not in browser.get(f"/admin/accounts/user/{staff.pk}/change/").content.decode()


def test_staff_are_not_offered_to_end_their_own_sessions_below_those_of_the_customer(
    browser: Client, alice: User
) -> None:
    begin(browser, alice)
    page = browser.get("/dashboard/account").content.decode()
    assert "Active sessions" in page
    assert "Sign out everywhere" not in page
    own = Client()
    own.force_login(alice)
    assert "Sign out everywhere" in own.get("/dashboard/account").content.decode()
