"""Each process and each service is killed, and frozen for half a minute, while clients push and read.

Nothing that was acknowledged is lost, nothing is counted twice, and everything recovers without help except from a
supervisor, who restarts what has died. The clients' own record is compared with every table, the API and the ledgers.
Prints the table of docs/reliability.md.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.stack import books, faults, topology
from tests.stack.faults import Lasted
from tests.stack.load import Customer, Load, loaded
from tests.stack.topology import Stack

pytestmark = pytest.mark.torture

DEAD_SECONDS: Final = 5.0
FROZEN_SECONDS: Final = 30.0
AFTERWARDS_SECONDS: Final = 3.0
EPOCH: Final = datetime.fromtimestamp(0, UTC)

VICTIMS: Final[dict[str, Callable[[Stack], Any]]] = {
    "a web process": lambda stack: stack.web[0],
    "a worker": lambda stack: stack.workers[0],
    "beat": lambda stack: stack.beat,
    "Redis": lambda stack: stack.redis,
    "PostgreSQL": lambda stack: stack.postgres,
    "ClickHouse": lambda stack: stack.endpoint,
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with topology.running() as running:
        yield running


@pytest.fixture(scope="module")
def total() -> Customer:
    """What was acknowledged in all cases so far."""
    return Customer()


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_that_is_killed_and_restarted_loses_no_row(
    victim: str, stack: Stack, total: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    it = VICTIMS[victim](stack)
    _try(
        f"{victim} is killed, started {DEAD_SECONDS:.0f} s later",
        lambda: faults.lasting(it.kill, DEAD_SECONDS, it.start),
        stack,
        total,
        capsys,
    )


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_that_hangs_for_half_a_minute_loses_no_row(
    victim: str, stack: Stack, total: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    it = VICTIMS[victim](stack)
    _try(
        f"{victim} stands still for {FROZEN_SECONDS:.0f} s",
        lambda: faults.frozen(it, FROZEN_SECONDS),
        stack,
        total,
        capsys,
    )


def _try(
    case: str, happen: Callable[[], Lasted], stack: Stack, total: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    with loaded(stack.web, f"{uuid.uuid4().hex}.example") as load:
        lasted = happen()
        recovery = faults.seconds_until(lambda: _is_as_before(stack, load, lasted), lasted.ended)
        time.sleep(AFTERWARDS_SECONDS)
        account = load.finish()
    with capsys.disabled():
        print("\n" + faults.row(case, load, lasted, recovery), end="")  # noqa: T201
    total.add(account)
    _wait_until_finished(stack)
    assert books.held(stack.directory / "setup", EPOCH, **stack.settings) == books.right(total)
    for web in stack.web:
        assert web.requests_of_alice(load.domain) == account.requests["alice"]
    assert faults.wrong(load.calls) == []


def _is_as_before(stack: Stack, load: Load, lasted: Lasted) -> bool:
    """Both web processes serve, both workers wait for jobs, and everything pushed meanwhile is counted and posted."""
    return (
        load.is_served_since(lasted.ended)
        and _waiting_workers(stack) == len(stack.workers)
        and _unfinished(stack, lasted.over_at) == 0
    )


def _waiting_workers(stack: Stack) -> int:
    with suppress(RedisError), Redis(port=stack.redis.port, socket_timeout=5) as client:
        return sum(one["cmd"] == "brpop" for one in client.client_list())
    return 0


def _unfinished(stack: Stack, before: datetime) -> int | None:
    with suppress(psycopg.OperationalError):
        return books.unfinished(stack.settings["DATABASE_URL"], before)
    return None


def _wait_until_finished(stack: Stack) -> None:
    deadline = time.monotonic() + faults.RECOVERY_SECONDS
    while _unfinished(stack, datetime.now(UTC)) != 0:
        assert time.monotonic() < deadline, "accepted rows were not counted and posted in time"
        time.sleep(0.5)
