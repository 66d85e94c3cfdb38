"""Threads of one process queue for SQLite's single writer, instead of sleeping and retrying."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, connections, transaction

from accounts.models import User
from fonproxy import sqlite
from fonproxy.sqlite import taking_turns

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL locks rows"),
]


def make_user(name: str) -> None:
    try:
        with taking_turns():
            User.objects.create_user(name)
    finally:
        connections.close_all()


def test_all_queued_writers_get_their_turn_even_after_a_failure() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(make_user, f"user {number % 10}") for number in range(20)]  # each name twice
    assert sorted(one.exception() is None for one in made) == [False] * 10 + [True] * 10
    assert User.objects.count() == 10


def test_a_writer_that_waits_too_long_gets_database_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", 0.05)
    has_begun, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with taking_turns():
            has_begun.set()
            assert may_end.wait(30)
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert has_begun.wait(30)
        with pytest.raises(OperationalError, match="locked"), taking_turns():
            pass
        may_end.set()
        holding.result(30)


def test_inside_a_transaction_it_joins_it_without_queueing() -> None:
    with taking_turns(), taking_turns():
        User.objects.create_user("inner")
    with transaction.atomic():
        with taking_turns():
            User.objects.create_user("undone")
        transaction.set_rollback(True)
    assert list(User.objects.values_list("username", flat=True)) == ["inner"]
