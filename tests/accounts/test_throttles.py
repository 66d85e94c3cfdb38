"""Guesses of one name from many addresses."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from accounts.models import User
from accounts.throttles import NameThrottle

pytestmark = pytest.mark.django_db
GUESSES = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(NameThrottle, "rate", f"{GUESSES}/hour")


def sign_in(name: str, password: str, address: str) -> int:
    given = {"username": name, "password": password}
    return int(APIClient().post("/auth/token", given, format="json", REMOTE_ADDR=address).status_code)


def guess(number: int) -> int:
    return sign_in("Alice", "guess", f"198.51.100.{number}")


@pytest.fixture
def alice_with_password(alice: User) -> User:
    alice.set_password("correct horse battery")
    alice.save()
    return alice


@pytest.mark.parametrize("address", ["198.51.100.{}", "2001:db8:0:{}::1"])
def test_guesses_of_a_name_are_limited_over_all_addresses(alice_with_password: User, address: str) -> None:
    """A /48 has 65,536 networks, each counted separately."""
    statuses = [sign_in("Alice", "guess", address.format(number)) for number in range(GUESSES + 1)]
    assert statuses == [401] * GUESSES + [429]
    assert sign_in("bob", "guess", address.format(1)) == 401


def test_a_throttled_user_still_signs_in_from_a_known_network(alice_with_password: User) -> None:
    right = alice_with_password.username, "correct horse battery"
    assert sign_in(*right, "2001:db8::1") == 200
    assert 429 in [guess(number) for number in range(GUESSES + 1)]
    assert sign_in(*right, "2001:db8::2") == 200
    assert sign_in(*right, "2001:db8:0:1::1") == 429


def test_guesses_are_counted_per_network_of_a_subscriber(settings: Any) -> None:
    statuses = [sign_in("bob", "guess", f"2001:db8::{number}") for number in range(12)]
    assert statuses[-1] == 429
