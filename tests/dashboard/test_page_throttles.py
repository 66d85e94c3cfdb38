"""Pages are limited as reads are: by account, and for everybody else by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser
from rest_framework.test import APIClient

from accounts.models import User
from accounts.throttles import NameThrottle
from fonproxy.api.throttles import PageThrottle, PublicThrottle, ReadThrottle
from fonproxy.clickhouse.client import Client
from tests.serving import free_port

MOST = 3


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for throttle in (PageThrottle, ReadThrottle, PublicThrottle):
        monkeypatch.setattr(throttle, "rate", f"{MOST}/min", raising=False)


def test_pages_and_reads_of_an_account_are_counted_together(
    alice: User, bob: User, client_for: Callable[..., APIClient], clean_engine: Client
) -> None:
    pages, others = Browser(), Browser()
    pages.force_login(alice)
    others.force_login(bob)
    assert client_for(alice, "read").get("/orders").status_code == 200
    assert [pages.get("/dashboard/ledger").status_code for _ in range(MOST)] == [200, 200, 429]
    refused = pages.get("/dashboard")
    assert "Too many requests" in refused.content.decode()
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert others.get("/dashboard/ledger").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/sign-in",
        "/password-reset",
        "/password-reset/MQ/x-y",
        "/shared/x",
        "/join/x",
        "/alerts/unsubscribe/x",
        "/proxies",
    ],
)
def test_public_pages_are_counted_by_address(path: str) -> None:
    statuses = [Browser(REMOTE_ADDR="192.0.2.1").get(path).status_code for _ in range(MOST + 1)]
    assert statuses[:MOST].count(429) == 0
    assert statuses[MOST] == 429
    assert Browser(REMOTE_ADDR="192.0.2.2").get(path).status_code == statuses[0]


@pytest.mark.parametrize("path", ["/confirm", "/dashboard/account/password"])
def test_a_stolen_cookie_allows_few_password_guesses_from_all_addresses_together(
    path: str, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NameThrottle, "rate", f"{MOST}/hour")
    for throttle in (PageThrottle, PublicThrottle):
        monkeypatch.setattr(throttle, "rate", "1000/min")
    thief = Browser()
    thief.force_login(alice)
    form = {"password": "guess", "old_password": "guess", "new_password1": "x", "new_password2": "x"}
    statuses = [thief.post(path, form, REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(MOST + 1)]
    assert statuses == [200] * MOST + [429]


@pytest.mark.django_db
def test_strangers_can_have_few_reset_mails_sent_to_an_address_from_all_of_theirs_together() -> None:
    def ask(email: str, number: int) -> int:
        return Browser(REMOTE_ADDR=f"192.0.2.{number}").post("/password-reset", {"email": email}).status_code

    assert [ask("alice@example.com", number) for number in range(6)] == [302] * 5 + [429]
    assert ask(" Alice@Example.com ", 7) == 429
    assert ask("bob@example.com", 8) == 302


def test_pages_are_shown_without_the_cache_that_counts_them(alice: User, settings: Any) -> None:
    browser = Browser()
    browser.force_login(alice)
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": nowhere}}
    assert browser.get("/dashboard/keys").status_code == 200
    assert Browser().get("/sign-in").status_code == 200
    assert Browser().post("/sign-in", {"username": "alice", "password": "x"}).status_code == 503
