from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.exceptions import NotFound

from accounts import selectors
from accounts.models import User
from fonproxy import ids
from orders import selectors as order_selectors
from orders.models import Order, ProxyUser
from orders.selectors import OrderFacts, ProxyUserFacts

MakeOrder = Callable[..., Order]


def test_an_owner_finds_an_order_by_its_published_id(alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice)
    assert order_selectors.find_order(alice.pk, order.published_id) == order


@pytest.mark.parametrize("published_id", ["", "7", "nonsense", "\0", "ö", "x" * 10_000])
def test_a_malformed_order_id_is_not_found(alice: User, published_id: str) -> None:
    with pytest.raises(NotFound):
        order_selectors.find_order(alice.pk, published_id)


def test_an_unknown_order_is_not_found(alice: User) -> None:
    with pytest.raises(NotFound):
        order_selectors.find_order(alice.pk, ids.encode("order", 2**63 - 1))


def test_a_foreign_order_is_not_found(alice: User, bob: User, make_order: MakeOrder) -> None:
    with pytest.raises(NotFound):
        order_selectors.find_order(alice.pk, make_order(bob).published_id)


def test_an_id_of_another_kind_is_not_found(alice: User, make_order: MakeOrder) -> None:
    with pytest.raises(NotFound):
        order_selectors.find_order(alice.pk, ids.encode("key", make_order(alice).pk))


def test_a_read_is_about_the_caller_by_default(alice: User) -> None:
    assert selectors.account_for(alice, None) == alice.pk
    assert selectors.account_for(alice, alice.published_id) == alice.pk


def test_staff_may_read_about_anyone(staff: User, alice: User) -> None:
    assert selectors.account_for(staff, alice.published_id) == alice.pk


def test_a_customer_may_not_read_about_another(alice: User, bob: User) -> None:
    with pytest.raises(NotFound):
        selectors.account_for(alice, bob.published_id)


def test_staff_may_name_a_user_by_number_and_a_customer_may_not(staff: User, alice: User, bob: User) -> None:
    assert selectors.account_for(staff, str(alice.pk)) == alice.pk
    with pytest.raises(NotFound):
        selectors.account_for(bob, str(alice.pk))


@pytest.mark.parametrize(
    "published_id", ["", "nonsense", "987654", "²", ids.encode("user", 10**9), ids.encode("order", 1)]
)
def test_staff_naming_an_unknown_user_find_nothing(staff: User, published_id: str) -> None:
    with pytest.raises(NotFound):
        selectors.account_for(staff, published_id)


def test_an_order_without_proxy_users_has_a_null_proxy_user(alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice, network="mobile")
    assert order_selectors.orders_by_id([order.pk]) == {order.pk: OrderFacts(alice.pk, "mobile", 0)}


def test_an_order_names_its_only_proxy_user(alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice)
    only = ProxyUser.objects.create(login="a1", order=order)
    assert order_selectors.orders_by_id([order.pk])[order.pk].proxy_user_id == only.pk


def test_an_order_with_several_proxy_users_has_a_null_proxy_user(alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice)
    for login in ("a1", "a2"):
        ProxyUser.objects.create(login=login, order=order)
    assert order_selectors.orders_by_id([order.pk])[order.pk].proxy_user_id == 0


def test_orders_that_do_not_exist_are_left_out(db: None) -> None:
    assert order_selectors.orders_by_id([1, 2**32]) == {}


def test_a_login_is_found_with_its_order_user_and_network(alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice, network="isp")
    login = ProxyUser.objects.create(login="a1", order=order)
    assert order_selectors.proxy_users_by_login(["a1"]) == {"a1": ProxyUserFacts(login.pk, order.pk, alice.pk, "isp")}


def test_logins_differ_by_case(alice: User, make_order: MakeOrder) -> None:
    ProxyUser.objects.create(login="a1", order=make_order(alice))
    assert order_selectors.proxy_users_by_login(["A1"]) == {}


@pytest.mark.parametrize("login", ["", "nobody", "nul\0byte", "\ud800", "x" * 256])
def test_a_login_that_cannot_exist_is_left_out(db: None, login: str) -> None:
    assert order_selectors.proxy_users_by_login([login]) == {}


def test_bulk_lookups_take_one_query_per_five_thousand(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(3):
        order_selectors.orders_by_id(range(10_001))
    with django_assert_num_queries(2):
        order_selectors.proxy_users_by_login(f"user-{n}" for n in range(10_000))


def test_no_logins_cost_no_query(django_assert_num_queries: DjangoAssertNumQueries, db: None) -> None:
    with django_assert_num_queries(0):
        assert order_selectors.orders_by_id([]) == {}
        assert order_selectors.proxy_users_by_login(["\0"]) == {}
