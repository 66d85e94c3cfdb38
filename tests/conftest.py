"""What most tests need: a real engine, people, orders, keys and clients that act for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import Network, Order, Product, ProxyType, User
from accounts.services import issue_key
from analytics.writer import writer
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import Client, close_client, get_client
from tests.isolation import data_dir
from usage import orders

LONG = ("test_on_clickhouse_server.py", "test_on_postgres.py", "test_schemathesis.py", "test_equivalence.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one that begins last has the other processes wait for it."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def _quick_and_forgetful(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()
    writer._away_until = 0.0  # one test's outage is no other's


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """SQLite in a file, as installed: in memory, threads would fail where a real one waits."""
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = f"{data_dir.name}/test.sqlite3"


@pytest.fixture(scope="session")
def _migrated_engine() -> Iterator[None]:
    assert Path(settings.DATA_DIR) == Path(data_dir.name).resolve()
    migrator.migrate(get_client())
    yield
    close_client()


@pytest.fixture
def engine(_migrated_engine: None) -> Client:
    """The process's real engine, with its schema."""
    return get_client()


@pytest.fixture
def clean_engine(engine: Client) -> Client:
    """The engine with empty tables."""
    for (table,) in engine.fetch(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        " AND name != 'schema_migrations'",
        tag="tests",
    ):
        engine.command(f"TRUNCATE TABLE {table}", tag="tests")
    return engine


def _user(name: str, **flags: bool) -> User:
    return User.objects.create_user(name, f"{name}@example.com", "correct horse", **flags)


@pytest.fixture
def alice(db: None) -> User:
    return _user("alice")


@pytest.fixture
def bob(db: None) -> User:
    return _user("bob")


@pytest.fixture
def worker(db: None) -> User:
    return _user("worker")


@pytest.fixture
def staff(db: None) -> User:
    return _user("staff", is_staff=True)


@pytest.fixture
def make_order(db: None) -> Callable[..., Order]:
    def make(
        user: User,
        network: str = Network.RESIDENTIAL,
        limit: int | None = None,
        logins: tuple[str, ...] = (),
        **fields: Any,
    ) -> Order:
        product, _ = Product.objects.get_or_create(
            name=f"{network} product", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=network
        )
        now = timezone.now()
        started_at = min(now, fields.get("expires_at") or now)
        given: dict[str, Any] = {"name": "Order", "started_at": started_at, "expires_at": None, "now": now} | fields
        suspended_at = given.pop("suspended_at", None)
        order = orders.buy(user=user, product=product, limit_bytes=limit, **given)
        if suspended_at is not None:
            Order.objects.filter(pk=order.pk).update(suspended_at=suspended_at)
            order.refresh_from_db()
        orders.set_logins(order, logins, now)
        return order

    return make


@pytest.fixture
def make_key(db: None) -> Callable[..., str]:
    def make(user: User, scopes: tuple[str, ...] = ("read",), **fields: Any) -> str:
        return issue_key(user=user, scopes=scopes, now=timezone.now(), **{"name": "a key", **fields})[1]

    return make


@pytest.fixture
def client_for(make_key: Callable[..., str]) -> Callable[..., APIClient]:
    """A client that acts for a user by token, or with a key when scopes are given; anonymous without a user."""

    def client(user: User | None = None, *scopes: str) -> APIClient:
        api = APIClient(raise_request_exception=False)
        if user and scopes:
            api.credentials(HTTP_X_API_KEY=make_key(user, scopes))
        elif user:
            api.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(user)}")
        return api

    return client
