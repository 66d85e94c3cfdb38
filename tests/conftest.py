"""Common fixtures: a real engine, users, orders, keys and clients that act for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.core import mail
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client as Browser
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts import notices, tokens
from accounts.models import User
from accounts.services import issue_key
from analytics.ingest.flusher import flusher
from fonproxy import health
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import Client, close_client, get_client
from orders.models import Order
from tests.isolation import data_dir
from tests.orders.helpers import bought
from tests.serving import Server, free_port, serving
from tests.usage.alerts.receiver import Mailbox, WebhookReceiver, smtp, web

LONG = (
    "test_accessibility.py",
    "test_permission_matrix.py",
    "test_lists.py",
    "test_renewals.py",
    "test_shipping.py",
    "test_usage.py",
    "test_apinalytics.py",
    "test_provisioning.py",
    "test_byteful_log_model.py",
    "test_field_cases.py",
    "test_limits.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one that starts last would keep the other processes waiting."""
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Otherwise the first request of every test client lists all static files: 80 ms of CPU time each.
    with override_settings(PASSWORD_HASHERS=hashers, WHITENOISE_AUTOREFRESH=True):
        yield


@pytest.fixture(autouse=True)
def _forgetful() -> None:
    cache.clear()
    health.cached_checks.forget()
    flusher._unavailable_until = 0.0  # one test's outage must not affect others


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A database for each test process. SQLite in a file, as installed: in memory, threads would fail, not wait."""
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


@pytest.fixture(scope="module")
def module_engine(_migrated_engine: None) -> Client:
    """The engine with tables that are empty before the first test of the module."""
    return _emptied(get_client())


@pytest.fixture(scope="module")
def module_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A transaction around all tests of a module, for rows that they share and do not change."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def clean_engine(engine: Client) -> Client:
    """The engine with empty tables."""
    return _emptied(engine)


def _emptied(engine: Client) -> Client:
    """Truncation costs much more than the query for tables with data parts."""
    for (table,) in engine.fetch(
        "SELECT DISTINCT table FROM system.parts WHERE database = currentDatabase() AND active"
        " AND table != 'schema_migrations'",
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
    """A member of staff with every permission, but not a superuser."""
    user = _user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def helper(db: None) -> User:
    """A member of staff without any permission."""
    return _user("helper", is_staff=True)


@pytest.fixture
def viewer(db: None) -> User:
    """A member of staff with all view permissions and no others."""
    user = _user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    return user


@pytest.fixture
def make_order(db: None) -> Callable[..., Order]:
    return bought


@pytest.fixture
def sent(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Runs on-commit callbacks; returns the mails sent since the last call."""
    monkeypatch.setattr(notices.mail, "delay", notices.mail)

    def sent() -> list[Any]:
        waiting, connection.run_on_commit = connection.run_on_commit, []
        for entry in waiting:
            entry[1]()
        found = list(mail.outbox)
        mail.outbox.clear()
        return found

    return sent


@pytest.fixture
def make_key(db: None) -> Callable[..., str]:
    def make(user: User, scopes: tuple[str, ...] = ("read",), **fields: Any) -> str:
        return issue_key(user=user, scopes=scopes, now=timezone.now(), **{"name": "a key", **fields})[1]

    return make


@pytest.fixture
def browser() -> Browser:
    """A superuser's browser, signed in to the console."""
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root"))
    return browser


@pytest.fixture
def client_for(make_key: Callable[..., str]) -> Callable[..., APIClient]:
    """A client that acts for a user by token, or with a key when scopes are given; anonymous without a user."""

    def client(user: User | None = None, *scopes: str) -> APIClient:
        api = APIClient(raise_request_exception=False)
        if user and scopes:
            api.credentials(HTTP_X_API_KEY=make_key(user, scopes))
        elif user:
            api.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(user, timezone.now()).access}")
        return api

    return client


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One real server per test process, for all tests that only call it."""
    with serving(FONPROXY_THROTTLE_READ="1000000/min", FONPROXY_THROTTLE_PUBLIC="1000000/min") as running:
        yield running


@pytest.fixture
def receiver(settings: Any) -> Iterator[WebhookReceiver]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    with web() as running:
        yield running


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    with smtp(settings.EMAIL_PORT) as running:
        yield running
