"""Gateways learn whom to stop however busy the stores are: the feeds need neither the engine nor a write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import services as order_services
from orders.models import Order
from tests.accounts.helpers import client_with
from tests.analytics.helpers import engine_unavailable
from tests.orders.helpers import empty_ledger


@pytest.fixture
def busy_stores(transactional_db: None, clean_engine: Client) -> Iterator[Callable[[], object]]:
    """Lets another process hold the engine, and write to SQLite until the test ends, as an import of history does."""
    with engine_unavailable():
        if connection.vendor == "sqlite":
            with closing(sqlite3.connect(connection.settings_dict["NAME"])) as writer:
                yield lambda: writer.execute("BEGIN IMMEDIATE")
                writer.rollback()
        else:
            yield lambda: None
    empty_ledger()


@pytest.mark.django_db(transaction=True)
def test_the_feeds_answer_while_the_engine_and_the_store_are_busy(
    busy_stores: Callable[[], object],
    staff: User,
    alice: User,
    make_order: Callable[..., Order],
    make_key: Callable[..., str],
) -> None:
    gateway = client_with(make_key(staff, ("gateway",)))
    order_services.suspend(make_order(alice, limit=None, logins=("a-1",)), timezone.now())
    busy_stores()
    [change] = gateway.get("/provisioning/exhausted").json()["changes"]
    assert (change["state"], change["proxyUsers"]) == ("suspended", ["a-1"])
    [login] = gateway.get("/gateway/logins").json()["logins"]
    assert (login["login"], login["stopped"]) == ("a-1", True)
    refused = gateway.post("/gateway/authorize", {"login": "a-1"}, format="json")
    assert (refused.status_code, refused.json()["reason"]) == (403, "suspended")
