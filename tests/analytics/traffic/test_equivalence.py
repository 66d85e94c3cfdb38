"""Whatever is pushed, however it is split, ordered and repeated, every read equals the model."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts.models import User
from orders.models import Order
from tests.analytics.helpers import post
from tests.analytics.traffic import model, strategies
from tests.analytics.traffic.model import ModelRow
from tests.analytics.traffic.strategies import Sent, TwoCustomers, body_of, read
from tests.thoroughness import drawn, examples

thorough = settings(
    max_examples=examples(24),
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class PlannedPush:
    """One request of a plan: who sends which batch, under which key if any, and the expected response."""

    sender: int
    batch: int
    is_keyed: bool
    status: int = 204
    is_zipped: bool = False


@st.composite
def plans(draw: st.DrawFn, batches: int) -> list[PlannedPush]:
    """Every batch at least once, in any order, with any repeats; between them bodies that are refused."""
    plan = [PlannedPush(0, batch, is_keyed=draw(st.booleans())) for batch in range(batches)]
    repeats = st.builds(
        PlannedPush, st.integers(0, 1), st.integers(0, batches - 1), is_keyed=st.just(True), is_zipped=st.booleans()
    )
    plan += draw(st.lists(repeats, max_size=6))
    shuffled = draw(st.permutations(plan))
    return [step for push in shuffled for step in _with_trouble(draw, push)]


def _with_trouble(draw: st.DrawFn, push: PlannedPush) -> list[PlannedPush]:
    """A bad body uses up no key; another valid body under a used key is a conflict."""
    spoiled = PlannedPush(push.sender, push.batch, is_keyed=False, status=400)
    conflict = PlannedPush(push.sender, push.batch, is_keyed=True, status=409)
    trouble = draw(st.sampled_from([None, None, spoiled, conflict]))
    if trouble is None or (trouble is conflict and not push.is_keyed):
        return [push]
    return [push, trouble] if trouble is conflict else [trouble, push]


def carry_out(
    plan: list[PlannedPush], batches: list[list[Sent]], senders: list[APIClient], name: str
) -> list[ModelRow]:
    """Sends everything; returns the rows that must now count."""
    counted: list[ModelRow] = []
    taken: set[tuple[int, int]] = set()
    for push in plan:
        body = body_of(batches[push.batch], push.status)
        headers = {"Idempotency-Key": f"{name} {push.batch}"} if push.is_keyed else {}
        if push.is_zipped:
            body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
        response = post(senders[push.sender], body, **headers)
        assert response.status_code == push.status, response.content
        is_repeat = push.is_keyed and (push.sender, push.batch) in taken
        if push.status == 204 and not is_repeat:
            counted += [row for _, row in batches[push.batch]]
        if push.status == 204 and push.is_keyed:
            taken.add((push.sender, push.batch))
    return counted


@pytest.fixture
def senders(worker: User, staff: User, client_for: Callable[..., APIClient]) -> list[APIClient]:
    return [client_for(worker, "ingest"), client_for(staff)]


@drawn
@thorough
@given(data=st.data())
def test_every_read_equals_the_model(
    data: st.DataObject, clean_engine: Any, settings: Any, make_order: Callable[..., Order], senders: list[APIClient]
) -> None:
    settings.TRAFFIC_RETENTION_MONTHS = 13
    with time_machine.travel(datetime.now(UTC), tick=False):  # the retention must not move during an example
        now, world = datetime.now(UTC), TwoCustomers.fresh(make_order)
        at = data.draw(strategies.few_moments(now))
        batches = data.draw(st.lists(st.lists(strategies.rows(world, at), max_size=16), min_size=1, max_size=4))
        plan = data.draw(plans(len(batches)))
        rows = carry_out(plan, batches, senders, name=world.rich.username)
        questions = data.draw(st.lists(strategies.questions(world, at), max_size=8))
        for question in data.draw(strategies.everything(world, at)) + questions:
            kept = settings.TRAFFIC_RETENTION_MONTHS = data.draw(st.sampled_from([13, 13, 6, 3]))
            assert read(question) == model.answer(rows, question, now=now, kept_months=kept), question
