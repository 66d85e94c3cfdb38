"""Who shares a place in a lane: all credentials of an account, and all invented ones of an address."""

from __future__ import annotations

from typing import Any

import pytest

from fonproxy.middleware import CALLER
from fonproxy.server import callers as module
from fonproxy.server.callers import Caller, Callers, address_of

KEY: dict[str, Any] = {"HTTP_X_API_KEY": "fnp_right"}
ADDRESS = Caller("192.0.2.1", is_known=False)
ALICE = Caller("account 7", is_known=True)


def environ(**values: Any) -> dict[str, Any]:
    return {"REMOTE_ADDR": "192.0.2.1", **values}


def learned(callers: Callers, number: int | None = 7, status: int = 200, **headers: Any) -> None:
    callers.learn(environ(**headers, **({} if number is None else {CALLER: number})), status)


def test_a_credential_counts_for_its_address_until_the_application_accepts_it() -> None:
    callers = Callers()
    assert callers.of(environ(**KEY)) == ADDRESS
    learned(callers, **KEY)
    assert callers.of(environ(**KEY)) == ALICE
    assert callers.of(environ(HTTP_X_API_KEY="fnp_invented")) == ADDRESS
    assert callers.of(environ()) == ADDRESS


@pytest.mark.parametrize(
    "junk",
    [
        {"HTTP_AUTHORIZATION": "Bearer x"},
        {"HTTP_X_AUTH_USER": "x"},
        {"HTTP_X_AUTH_KEY": "x"},
        {"HTTP_X_API_PRIVATE_KEY": "x"},
        {"HTTP_COOKIE": "sessionid=x"},
    ],
)
def test_invented_credentials_beside_a_valid_one_do_not_make_another_caller(junk: dict[str, str]) -> None:
    callers = Callers()
    learned(callers, **KEY)
    assert callers.of(environ(**KEY, **junk)) == ADDRESS


def test_all_credentials_of_an_account_are_one_caller_despite_other_cookies() -> None:
    callers = Callers()
    session, token = "sessionid=abc; other=1", "Bearer token"
    learned(callers, **KEY)
    learned(callers, HTTP_AUTHORIZATION=token)
    learned(callers, HTTP_COOKIE=session)
    given: list[dict[str, Any]] = [
        KEY,
        {"HTTP_AUTHORIZATION": token},
        {"HTTP_COOKIE": session},
        {"HTTP_COOKIE": "a=2; sessionid=abc"},
    ]
    assert {callers.of(environ(**headers)) for headers in given} == {ALICE}


def test_a_refused_credential_counts_for_its_address_again_and_a_refused_login_does_not_change_its_gateway() -> None:
    callers = Callers()
    learned(callers, **KEY)
    learned(callers, status=401, **KEY)
    assert callers.of(environ(**KEY)) == ALICE
    learned(callers, None, 401, **KEY)
    assert callers.of(environ(**KEY)) == ADDRESS


def test_a_request_without_a_credential_is_not_remembered() -> None:
    callers = Callers()
    learned(callers)
    assert callers.of(environ()) == ADDRESS


def test_known_credentials_are_forgotten_after_a_while_and_limited_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    callers = Callers()
    for number in range(10):
        learned(callers, number, HTTP_X_API_KEY=f"fnp_{number}")
    assert len(callers._known) <= 3
    monkeypatch.setattr(module, "REMEMBERED_SECONDS", -1.0)
    learned(callers, **KEY)
    assert callers.of(environ(**KEY)) == ADDRESS


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.9", "192.0.2.1"),
        (1, "198.51.100.9", "198.51.100.9"),
        (1, "203.0.113.5, 198.51.100.9", "198.51.100.9"),
        (2, "203.0.113.5, 198.51.100.9", "203.0.113.5"),
        (2, "198.51.100.9", "198.51.100.9"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (1, None, "192.0.2.1"),
    ],
)
def test_behind_proxies_the_address_is_the_clients_and_a_64_is_one_address(
    settings: Any, proxies: int, forwarded: str | None, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    given = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    assert address_of(environ(**given)) == address
