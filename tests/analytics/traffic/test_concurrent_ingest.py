"""The same batches pushed by many threads at once, each repeated under its key: each counts once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import issue_key
from orders.models import Network, Order, Product, ProxyType
from tests.analytics.helpers import counted, post
from tests.analytics.traffic import model, strategies
from tests.analytics.traffic.strategies import Sent, TwoCustomers, body_of, read
from tests.thoroughness import drawn, examples

THREADS = 8
REPEATS = 4
PATIENCE = 100


@pytest.fixture
def file_database(django_db_setup: None, django_db_blocker: Any, tmp_path: Path) -> Iterator[None]:
    """A database in a file, as in a server: an in-memory one refuses a second writer instead of waiting."""
    facts = connections.settings["default"]
    kept, name = connections["default"], facts["NAME"]
    with django_db_blocker.unblock():
        facts["NAME"] = str(tmp_path / "threads.sqlite3")
        connections["default"] = connections.create_connection("default")
        try:
            call_command("migrate", verbosity=0)
            yield
        finally:
            connections["default"].close()
            facts["NAME"] = name
            connections["default"] = kept


def in_threads(jobs: list[Callable[[], int]]) -> list[int]:
    """The results of the jobs, in order, each thread's database connection closed again."""

    def run(job: Callable[[], int]) -> int:
        try:
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, jobs))


def push_until_taken(secret: str, body: bytes, key: str) -> int:
    """Pushes as a worker does, again after each 503; returns the final status."""
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_X_API_KEY=secret)
    for _ in range(PATIENCE):
        response = post(client, body, **{"Idempotency-Key": key})
        if response.status_code != 503:
            return int(response.status_code)
        assert response["Retry-After"]
        time.sleep(0.05)
    return 503


def make_order(user: User, network: str = Network.RESIDENTIAL, logins: tuple[str, ...] = ()) -> Order:
    product, _ = Product.objects.get_or_create(name=network, proxy_type=ProxyType.MOBILE_GIGA, network=network)
    order = Order.objects.create(user=user, product=product, name="Order")
    for login in logins:
        order.proxy_users.create(login=login)
    return order


@pytest.fixture
def secret(file_database: None) -> str:
    worker = User.objects.create_user("worker")
    return issue_key(user=worker, name="a key", scopes=("ingest",), now=datetime.now(UTC))[1]


@drawn
@settings(
    max_examples=examples(5),
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_every_read_equals_the_model_after_pushes_at_once(data: st.DataObject, clean_engine: Any, secret: str) -> None:
    now, world = datetime.now(UTC), TwoCustomers.fresh(make_order)
    at = data.draw(strategies.few_moments(now))
    batches: list[list[Sent]] = data.draw(
        st.lists(st.lists(strategies.rows(world, at), max_size=8), min_size=2, max_size=8)
    )
    pushes = [(index, body_of(batch)) for index, batch in enumerate(batches) for _ in range(REPEATS)]

    def job(index: int, body: bytes) -> Callable[[], int]:
        return lambda: push_until_taken(secret, body, f"{world.rich.username} {index}")

    assert set(in_threads([job(*push) for push in pushes])) == {204}
    rows = [row for batch in batches for _, row in batch]
    questions = data.draw(st.lists(strategies.questions(world, at), max_size=4))
    for question in data.draw(strategies.everything(world, at)) + questions:
        assert read(question) == model.answer(rows, question, now=now), question


def test_of_two_bodies_under_one_key_at_once_one_counts_and_the_other_is_a_conflict(
    clean_engine: Any, secret: str
) -> None:
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    bodies = [f'{{"logs":[{{"ts":"{now}","user_id":1,"order_id":1,"count":{count}}}]}}'.encode() for count in (1, 1000)]
    tries = [(key, body) for key in range(20) for body in (*bodies, *bodies)]

    def job(key: int, body: bytes) -> Callable[[], int]:
        return lambda: push_until_taken(secret, body, f"key {key}")

    statuses = in_threads([job(*each) for each in tries])
    winners = {(key, body) for (key, body), status in zip(tries, statuses, strict=True) if status == 204}
    assert Counter(statuses) == {204: 40, 409: 40}
    assert len(winners) == 20
    assert counted(clean_engine, "traffic") == (20, sum(1000 if body == bodies[1] else 1 for _, body in winners))


def test_concurrent_batches_without_a_key_all_count(clean_engine: Any, secret: str) -> None:
    worker, order = User.objects.get(), 7
    row = {"ts": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", "user_id": worker.pk, "order_id": order, "count": 3}
    body = body_of([(row, model.ModelRow(worker.pk, order, datetime.now(UTC)))])

    def push() -> int:
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return int(post(client, body).status_code)

    assert set(in_threads([push] * 40)) == {204}
    assert counted(clean_engine, "order_traffic") == (40, 120)
