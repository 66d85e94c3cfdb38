"""Customers, orders and keys for a benchmark, in the relational store of this process."""

from __future__ import annotations

from django.utils import timezone

from accounts import tokens
from accounts.models import Scope, User
from accounts.services import issue_key
from bench.bodies import Owner
from orders.models import Network, Order, Product, ProxyType, ProxyUser


def make_orders(customers: int, orders: int) -> list[Owner]:
    """Creates customers who share these orders, each order with one proxy user."""
    product = Product.objects.create(
        name="Residential", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL
    )
    users = [User.objects.create(username=f"customer-{number}") for number in range(customers)]
    made = [Order.objects.create(user=users[i % customers], product=product, name=f"Order {i}") for i in range(orders)]
    ProxyUser.objects.bulk_create(ProxyUser(login=f"login-{order.pk}", order=order) for order in made)
    return [Owner(order.pk, order.user_id) for order in made]


def make_customers(count: int) -> None:
    """Creates customers without orders in an empty store, numbered from 1."""
    User.objects.bulk_create(User(pk=number, username=f"customer-{number}") for number in range(1, count + 1))


def make_ingest_key() -> str:
    """A key of a proxy worker."""
    worker = User.objects.create(username="worker")
    return issue_key(user=worker, name="bench", scopes=[Scope.INGEST], now=timezone.now())[1]


def make_read_keys(user_id: int, count: int) -> list[str]:
    """Several keys of one customer, because each key is rate-limited."""
    user = User.objects.get(pk=user_id)
    return [issue_key(user=user, name="bench", scopes=[Scope.READ], now=timezone.now())[1] for _ in range(count)]


def make_token(user_id: int) -> str:
    """An access token of a new sign-in of this customer."""
    return tokens.issue(User.objects.get(pk=user_id), timezone.now()).access
