"""Whatever is pushed, however it is split, ordered and repeated, every read equals the model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import Order, User
from fonproxy import ids
from tests.analytics.helpers import post
from tests.analytics.traffic import model, strategies
from tests.analytics.traffic.model import Question, Row
from tests.analytics.traffic.strategies import World

Sent = tuple[dict[str, Any], Row]
BAD_ROW = {"ts": "2026-02-30 00:00:00", "user_id": 1, "order_id": 1, "count": 1}

thorough = settings(
    max_examples=40,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class Push:
    """One request of a plan: who sends which batch, under a key of its own or none, and what it must be answered."""

    sender: int
    batch: int
    is_keyed: bool
    status: int = 204
    is_zipped: bool = False


@st.composite
def plans(draw: st.DrawFn, batches: int) -> list[Push]:
    """Every batch at least once, in any order, with any repeats; between them bodies that are refused."""
    plan = [Push(0, batch, is_keyed=draw(st.booleans())) for batch in range(batches)]
    repeats = st.builds(
        Push, st.integers(0, 1), st.integers(0, batches - 1), is_keyed=st.just(True), is_zipped=st.booleans()
    )
    plan += draw(st.lists(repeats, max_size=6))
    shuffled = draw(st.permutations(plan))
    return [step for push in shuffled for step in _with_trouble(draw, push)]


def _with_trouble(draw: st.DrawFn, push: Push) -> list[Push]:
    """A bad body claims no key; another good one under a key that is taken is a conflict."""
    spoiled = Push(push.sender, push.batch, is_keyed=False, status=400)
    conflict = Push(push.sender, push.batch, is_keyed=True, status=409)
    trouble = draw(st.sampled_from([None, None, spoiled, conflict]))
    if trouble is None or (trouble is conflict and not push.is_keyed):
        return [push]
    return [push, trouble] if trouble is conflict else [trouble, push]


def body_of(batch: list[Sent], status: int = 204) -> bytes:
    sent: list[dict[str, Any]] = [row for row, _ in batch]
    if status == 400:
        sent = [*sent, BAD_ROW]
    elif status == 409:
        sent = [*sent, {**BAD_ROW, "ts": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"}]
    return json.dumps({"logs": sent}).encode()


def carry_out(plan: list[Push], batches: list[list[Sent]], senders: list[APIClient], name: str) -> list[Row]:
    """Sends everything; returns the rows that must count now."""
    counted: list[Row] = []
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


def reader(user_id: int) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(User.objects.get(pk=user_id))}")
    return client


def read(question: Question) -> Any:
    order = {} if question.order is None else {"orderId": ids.encode("order", question.order)}
    given = {**strategies.parameters(question), **order}
    response = reader(question.user).get(f"/analytics/{question.report}", given)
    assert response.status_code == 200, response.content
    return response.json()


@pytest.fixture
def senders(worker: User, staff: User, client_for: Callable[..., APIClient]) -> list[APIClient]:
    return [client_for(worker, "ingest"), client_for(staff)]


@thorough
@given(data=st.data())
def test_every_read_equals_the_model(
    data: st.DataObject, clean_engine: Any, settings: Any, make_order: Callable[..., Order], senders: list[APIClient]
) -> None:
    settings.TRAFFIC_RETENTION_MONTHS = 13
    with time_machine.travel(datetime.now(UTC), tick=False):  # the retention must not move on under an example
        now, world = datetime.now(UTC), World.fresh(make_order)
        at = st.sampled_from(strategies.moments(now))
        batches = data.draw(st.lists(st.lists(strategies.rows(world, at), max_size=12), min_size=1, max_size=4))
        plan = data.draw(plans(len(batches)))
        rows = carry_out(plan, batches, senders, name=world.rich.username)
        told = {row.ts for row in rows} or {now}
        asked = st.sampled_from(sorted(told)) | at  # mostly where there is something to see
        for question in data.draw(st.lists(strategies.questions(world, asked), min_size=6, max_size=12)):
            kept = settings.TRAFFIC_RETENTION_MONTHS = data.draw(st.sampled_from([3, 6, 13]))
            assert read(question) == model.answer(rows, question, now=now, kept_months=kept), question
