"""Accounting processes are killed at random, four at a time on PostgreSQL, and every balance is exact."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests import clickhouse, postgres
from tests.usage.accounting import LIMIT
from tests.usage.stage import Stage, end

pytestmark = pytest.mark.torture
KILLS = 50
WORKERS = 4
SEED = 5


def test_balances_are_exact_however_often_posting_processes_are_killed() -> None:
    chance = random.Random(SEED)
    with postgres.running(postgres.required_programs()) as port, clickhouse.running() as endpoint:
        stage = Stage(
            "tests.usage.accounting",
            DATABASE_URL=f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres",
            CLICKHOUSE_URL=endpoint.url,
        )
        stage.run("setup")
        users = [stage.start("use", str(seed)) for seed in (1, 2)]
        workers = [stage.start("work") for _ in range(WORKERS)]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.5, 3))
            victim = chance.randrange(WORKERS)
            end(workers[victim])
            workers[victim] = stage.start("work")
        done = [stage.finish(user) for user in users]
        for worker in workers:
            end(worker)
        found = stage.run("check")

    carried, added = Counter[str](), Counter[str]()
    for user in done:
        carried.update(user["carried"])
        added.update(user["added"])
    assert carried.total() > 1000, "there was little to account for"
    assert found["usage"] == dict(carried)
    assert found["top ups"] == dict(added)
    used = Counter[str]()
    for pair, size in carried.items():
        used[pair.split()[0]] += size
    for order, balance in found["balances"].items():
        assert found["limits"][order] == LIMIT + added[order]
        assert balance == LIMIT + added[order] - used[order]
        assert found["states"].get(order, "active") == ("exhausted" if balance <= 0 else "active")
