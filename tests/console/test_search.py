"""The console's search."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.utils import timezone

from accounts import applications, services
from accounts.models import User
from geo.models import StaticIp
from orders.models import Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    User.objects.filter(pk=alice.pk).update(email="al@example.org", external_id="crm-77")
    order = make_order(alice, name="Winter pack", logins=("winter-login",))
    Order.objects.filter(pk=order.pk).update(external_id="inv-2026-1")
    return order


def found(browser: Browser, term: str) -> str:
    """The redirect of the search, or the page of its hits."""
    answer = browser.get("/admin/search/", {"q": term})
    return answer["Location"] if answer.status_code == 302 else answer.content.decode()


def test_an_exact_match_is_opened_at_once(browser: Browser, alice: User, order: Order) -> None:
    customer, its_order = f"/admin/customers/{alice.pk}/", f"/admin/orders/order/{order.pk}/change/"
    for term in (alice.published_id, "AL@example.org", "crm-77", "alice"):
        assert found(browser, term) == customer, term
    for term in (order.published_id, f"sub_{order.published_id}", "inv-2026-1", "winter pack"):
        assert found(browser, term) == its_order, term
    login = order.proxy_users.get()
    for term in ("winter-login", login.published_id):
        assert found(browser, term) == f"/admin/orders/proxyuser/{login.pk}/change/", term


def test_a_customer_who_is_named_as_a_login_of_theirs_is_opened_at_once(
    browser: Browser, alice: User, bob: User, order: Order, make_order: Callable[..., Order]
) -> None:
    make_order(alice, logins=("alice",))
    assert found(browser, "alice") == f"/admin/customers/{alice.pk}/"
    make_order(alice, logins=("bob",))
    assert ">bob</a>" in found(browser, "bob")  # a customer, and another one's login


def test_keys_applications_and_addresses_are_found(browser: Browser, alice: User) -> None:
    key, secret = services.issue_key(user=alice, name="n", scopes=("read",), now=timezone.now())
    for term in (secret, key.prefix, key.published_id):
        assert found(browser, term) == f"/admin/accounts/apikey/{key.pk}/change/", term
    application, _ = applications.create(alice, "Shop", timezone.now())
    assert found(browser, application.published_id) == f"/admin/accounts/application/{application.pk}/change/"


def test_an_address_leads_to_its_static_ip_and_to_who_used_it(browser: Browser, helper: User) -> None:
    row = StaticIp.objects.create(address="192.0.2.7", proxy_type="server-static")
    static_ip, lookup, users = (
        f"/admin/geo/staticip/{row.pk}/change/",
        "/admin/analytics/abusereport/add/?text=192.0.2.",
        "/admin/addresses/?range=192.0.2.",
    )
    page = found(browser, "192.0.2.7")
    assert all(link in page for link in (static_ip, f"{lookup}7", f"{users}7"))
    page = found(browser, "192.0.2.8")
    assert all(link in page for link in (f"{lookup}8", f"{users}8"))
    browser.force_login(helper)
    helper.user_permissions.add(Permission.objects.get(codename="view_staticip"))
    assert found(browser, "192.0.2.7") == static_ip


def test_part_of_a_name_lists_all_that_have_it(browser: Browser, order: Order) -> None:
    page = found(browser, "winter")
    assert "Winter pack" in page
    assert "winter-login" in page
    assert page.count(">alice</a>") == 2


@pytest.mark.parametrize(
    "term", ["", "  ", "nobody-has-this", "a\0b", "9" * 5000, "%", "\ud800", "sub_", "fnp_", "fe80::1%" + "a" * 40]
)
def test_a_term_without_a_match_is_reported(browser: Browser, term: str) -> None:
    answer = browser.get("/admin/search/", {"q": term.encode("utf-8", "replace").decode()})
    assert answer.status_code == 200


def test_hits_are_limited_to_the_users_view_permissions(helper: User, order: Order) -> None:
    browser = Browser()
    browser.force_login(helper)
    assert browser.get("/admin/search/?q=winter").status_code == 403
    helper.user_permissions.add(Permission.objects.get(codename="view_proxyuser"))
    assert found(browser, "winter").startswith("/admin/orders/proxyuser/")


def test_hits_name_their_customer_to_those_who_may_view_customers(
    browser: Browser, helper: User, alice: User, order: Order, make_order: Callable[..., Order]
) -> None:
    make_order(alice, name="Winter pack 2")
    assert "al@example.org" in found(browser, "inter")
    browser.force_login(helper)
    helper.user_permissions.add(Permission.objects.get(codename="view_order"))
    page = found(browser, "inter")
    assert "Winter pack 2" in page
    assert "al@example.org" not in page
    assert "/admin/customers/" not in page
