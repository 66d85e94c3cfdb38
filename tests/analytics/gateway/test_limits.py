"""A limit reached through any kind of connection count refuses the login through every kind of sign-in query."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import issue_key
from fonproxy.clickhouse.client import Client
from orders import passwords, proxy_users
from orders.models import Order, ProxyUser
from tests.accounts.helpers import client_with
from tests.analytics.gateway.test_other_forms import account, observe
from tests.analytics.gateway.test_sessions import report, sample
from tests.orders.gateway.test_authorize import radius
from tests.usage.test_limits import beat

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LIMIT = 1000
PASSWORD = "correct-horse-1"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def gateway(staff: User, clean_engine: Client) -> APIClient:
    return client_with(issue_key(user=staff, name="gw", scopes=["gateway"], now=timezone.now())[1])


def by_sessions(gateway: APIClient, received: int) -> None:
    start = timezone.now().replace(minute=0) - timedelta(hours=1)
    assert report(gateway, sample(received, startedAt=start.isoformat())).status_code == 204


def by_radius(gateway: APIClient, received: int) -> None:
    assert account(gateway, "Interim-Update", Acct_Session_Time=60, Acct_Output_Octets=received) == 204


def by_gost(gateway: APIClient, received: int) -> None:
    assert observe(gateway, ("alice", 1, 1, 0, received)).json() == {"ok": True}


COUNTED = pytest.mark.parametrize("count", [by_sessions, by_radius, by_gost])


def answers(gateway: APIClient, login: str) -> list[Any]:
    """The reason for a refusal from each form of sign-in query, or None; gost gets no reason."""
    body = {"login": login, "password": PASSWORD}
    asked = gateway.post("/gateway/authorize", body, format="json").json()
    by_name = radius(gateway, User_Name=login, User_Password=PASSWORD).json()
    gost = gateway.post("/gateway/gost/auth", {"username": login, "password": PASSWORD}, format="json").json()
    return [asked.get("reason"), by_name.get("reply:Reply-Message"), gost["ok"]]


PASSES = [None, None, True]
EXHAUSTED = ["exhausted", "exhausted", False]


@pytest.fixture
def make(alice: User, make_order: Callable[..., Order]) -> Callable[..., Order]:
    def make(**fields: Any) -> Order:
        order = make_order(alice, logins=("alice", "alice-2"), started_at=NOON - 9 * DAY, now=NOON - 9 * DAY, **fields)
        for user in ProxyUser.objects.filter(order=order):
            proxy_users.change(user, {"verifier": passwords.verifier_of(PASSWORD)})
        return order

    return make


@COUNTED
@pytest.mark.parametrize(
    ("limit", "comes_back"), [("dayBytes", NOON + DAY), ("monthBytes", NOON + 30 * DAY), ("totalBytes", None)]
)
def test_the_limit_of_a_login_stops_only_that_login(
    gateway: APIClient,
    make: Callable[..., Order],
    clock: time_machine.Traveller,
    count: Callable[[APIClient, int], None],
    limit: str,
    comes_back: datetime | None,
) -> None:
    make(limit=None)
    proxy_users.change_by_owner(ProxyUser.objects.get(login="alice"), {"limits": {limit: LIMIT}})
    count(gateway, LIMIT - 1)
    beat(timezone.now())
    assert answers(gateway, "alice") == PASSES
    count(gateway, LIMIT)
    beat(timezone.now())
    assert (answers(gateway, "alice"), answers(gateway, "alice-2")) == (EXHAUSTED, PASSES)
    clock.move_to(comes_back or NOON + 400 * DAY)
    beat(timezone.now())
    assert answers(gateway, "alice") == (PASSES if comes_back else EXHAUSTED)


@COUNTED
def test_the_daily_limit_stops_every_login_of_the_order(
    gateway: APIClient,
    make: Callable[..., Order],
    clock: time_machine.Traveller,
    count: Callable[[APIClient, int], None],
) -> None:
    make(limit=None, day_limit_bytes=LIMIT)
    count(gateway, LIMIT - 1)
    beat(timezone.now())
    assert answers(gateway, "alice") == PASSES
    count(gateway, LIMIT)
    beat(timezone.now())
    assert (answers(gateway, "alice"), answers(gateway, "alice-2")) == (EXHAUSTED, EXHAUSTED)
    clock.move_to(NOON + DAY)
    beat(timezone.now())
    assert (answers(gateway, "alice"), answers(gateway, "alice-2")) == (PASSES, PASSES)


@COUNTED
def test_the_traffic_limit_stops_every_login_of_the_order(
    gateway: APIClient, make: Callable[..., Order], count: Callable[[APIClient, int], None]
) -> None:
    make(limit=LIMIT)
    count(gateway, LIMIT - 1)
    beat(timezone.now())
    assert answers(gateway, "alice") == PASSES
    count(gateway, LIMIT)
    beat(timezone.now())
    assert (answers(gateway, "alice"), answers(gateway, "alice-2")) == (EXHAUSTED, EXHAUSTED)
