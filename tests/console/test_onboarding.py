"""Staff add a customer with a first order in one form, and the customer sets a password by a link."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import password_links
from accounts.models import User
from fonproxy.clickhouse.client import Client as Engine
from orders import ledger, passwords
from orders.models import Network, Order, Product, ProxyType, ProxyUser

URL = "/admin/new-customer/"
NEW = "a long enough Passphrase 77"


@pytest.fixture
def product(db: None) -> Product:
    return Product.objects.create(
        name="Residential", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL
    )


@pytest.fixture
def seller(staff: User) -> Client:
    browser = Client()
    browser.force_login(staff)
    return browser


def form(product: Product, **changes: Any) -> dict[str, Any]:
    return {
        "username": "carol",
        "email": "carol@example.com",
        "external_id": "c-1",
        "product": product.pk,
        "size": "2.5",
        "expires_at": "2090-01-31T12:00",
        "login": "carol-1",
        "welcome": "on",
    } | changes


def test_an_address_that_no_mail_can_be_sent_to_is_refused(seller: Client, product: Product) -> None:
    answer = seller.post(URL, form(product, email="a@\u05d0a1.com"))
    assert "Enter a valid email address." in answer.content.decode()
    assert not Order.objects.exists()


def shown_password(answer: Any) -> str:
    [password] = re.findall("<code>(.+?)</code>", answer.content.decode())
    return html.unescape(password)


def test_one_form_makes_a_customer_with_an_order_that_can_be_used(
    seller: Client, product: Product, sent: Callable[[], list[Any]]
) -> None:
    answer = seller.post(URL, form(product))
    user, order, login = User.objects.get(username="carol"), Order.objects.get(), ProxyUser.objects.get()
    assert f'<a href="/admin/customers/{user.pk}/">Continue</a>' in answer.content.decode()
    assert (user.external_id, user.email, user.has_usable_password()) == ("c-1", "carol@example.com", False)
    assert (order.user, order.product, order.name, login.order) == (user, product, "Residential", order)
    assert (order.limit_bytes, ledger.balance(order)) == (5 * 2**29, 5 * 2**29)
    assert order.expires_at == datetime(2090, 1, 31, 12, tzinfo=UTC)
    assert passwords.matches(login.verifier, shown_password(answer))
    assert {entry.object_repr for entry in LogEntry.objects.all()} == {str(user), str(order)}
    assert [mail.to for mail in sent()] == [["carol@example.com"]]


def test_the_logins_password_is_only_in_the_response(seller: Client, product: Product) -> None:
    answer = seller.post(URL, form(product))
    password = shown_password(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    assert "The customer carol and an order were added." in answer.content.decode()
    assert password not in str(dict(seller.session))
    assert (
        password not in seller.get(reverse("admin:orders_order_change", args=[Order.objects.get().pk])).content.decode()
    )


def test_the_welcome_mail_leads_to_a_password_and_into_the_dashboard(
    seller: Client, product: Product, sent: Callable[[], list[Any]]
) -> None:
    seller.post(URL, form(product))
    [mail] = sent()
    assert "carol" in mail.body
    link = next(line for line in mail.body.splitlines() if "/password-reset/" in line)
    browser = Client()
    page = browser.get(urlsplit(link).path, follow=True)
    assert browser.post(page.redirect_chain[-1][0], {"new_password1": NEW, "new_password2": NEW}).status_code == 302
    signed_in = browser.post("/sign-in", {"username": "carol", "password": NEW})
    assert signed_in.headers["Location"] == "/dashboard"


def test_the_welcome_mail_has_the_formats_of_its_recipient(alice: User, sent: Callable[[], list[Any]]) -> None:
    alice.locale = "en-de"
    password_links.mail_welcome(alice, datetime(2026, 11, 30, 9, 5, tzinfo=UTC))
    [mail] = sent()
    assert "until 03.12.2026 09:05 UTC" in mail.body


def test_optional_fields_may_be_left_out(seller: Client, product: Product, sent: Callable[[], list[Any]]) -> None:
    left_out = {"external_id": "", "size": "", "expires_at": "", "login": "", "welcome": ""}
    for name in ("carol", "dave"):  # empty external ids are no duplicates
        assert seller.post(URL, form(product, username=name, **left_out)).status_code == 302
    order = Order.objects.get(user__username="carol")
    assert (order.limit_bytes, order.expires_at, order.user.external_id) == (None, None, None)
    assert not ProxyUser.objects.exists()
    assert sent() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "alice"),
        ("username", "not a name"),
        ("email", "nowhere"),
        ("email", ""),
        ("external_id", "taken"),
        ("external_id", "two words"),
        ("product", "999999"),
        ("size", "-1"),
        ("size", "9999999999"),
        ("expires_at", "2020-01-01T00:00"),
        ("expires_at", "soon"),
        ("login", "alice-1"),
        ("login", "a\nb"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_created(
    field: str, value: str, seller: Client, product: Product, alice: User, make_order: Callable[..., Order]
) -> None:
    User.objects.filter(pk=alice.pk).update(external_id="taken")
    make_order(alice, logins=("alice-1",))
    answer = seller.post(URL, form(product) | {field: value})
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, [field])
    assert (User.objects.filter(username="carol").exists(), Order.objects.count()) == (False, 1)


def test_a_name_taken_in_the_meantime_leaves_nothing_behind(
    seller: Client, product: Product, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.onboarding._unused", lambda value, is_used: value)
    answer = seller.post(URL, form(product, username="alice"))
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, ["__all__"])
    assert not Order.objects.exists()


def test_onboarding_needs_permissions_to_add_users_and_orders_and_a_recent_sign_in(
    staff: User, helper: User, product: Product, seller: Client
) -> None:
    browser = Client()
    browser.force_login(helper)
    for name in ("add_user", "add_order"):
        assert browser.post(URL, form(product)).status_code == 403
        helper.user_permissions.add(Permission.objects.get(codename=name))
    assert browser.get(URL).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        late = browser.post(URL, form(product))
    assert (late.status_code, late.headers["Location"]) == (302, "/confirm?next=%2Fadmin%2Fnew-customer%2F")
    assert not Order.objects.exists()


def test_a_proxy_login_takes_the_permission_to_add_one(
    helper: User, product: Product, sent: Callable[[], list[Any]]
) -> None:
    helper.user_permissions.add(*Permission.objects.filter(codename__in=["add_user", "add_order"]))
    browser = Client()
    browser.force_login(helper)
    assert 'name="login"' not in browser.get(URL).content.decode()
    assert browser.post(URL, form(product)).status_code == 302
    assert Order.objects.exists()
    assert not ProxyUser.objects.exists()


def test_the_page_explains_sizes_and_reports_a_missing_product(seller: Client, engine: Engine) -> None:
    text = seller.get(URL).content.decode()
    assert "Traffic limit, in GB" in text
    assert "GB of 2^30 bytes" in text
    assert reverse("admin:orders_product_add") in text
    assert f'href="{URL}"' in seller.get("/admin/").content.decode()
