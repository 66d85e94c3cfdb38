"""A key's last use is recorded without delaying the request."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import ApiKey, User


@pytest.fixture
def busy_store(transactional_db: None) -> Iterator[None]:
    """Another process writes to SQLite during the test, as an import of history does."""
    if connection.vendor != "sqlite":
        yield
        return
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield
        writer.rollback()


@pytest.mark.django_db(transaction=True)
def test_a_read_does_not_wait_for_a_writer_to_record_the_use_of_its_key(
    alice: User, client_for: Callable[..., APIClient], request: pytest.FixtureRequest, settings: Any
) -> None:
    api = client_for(alice, "read")
    request.getfixturevalue("busy_store")
    assert api.get("/orders").status_code == 200
    if connection.vendor == "sqlite":
        assert ApiKey.objects.get().last_access_at is None


@pytest.mark.django_db
def test_the_use_of_a_key_is_recorded(alice: User, client_for: Callable[..., APIClient]) -> None:
    assert client_for(alice, "read").get("/orders").status_code == 200
    assert ApiKey.objects.get().last_access_at is not None
