"""Four workers renew orders on PostgreSQL and are killed at random: every boundary once, every balance exact."""

from __future__ import annotations

import random
import time

import pytest

from tests import clickhouse, postgres
from tests.usage.renewing import LIMIT
from tests.usage.stage import Stage, end

pytestmark = pytest.mark.torture
KILLS = 15
WORKERS = 4
SEED = 24


def test_every_boundary_is_renewed_once_however_often_renewing_processes_are_killed() -> None:
    chance = random.Random(SEED)
    with postgres.running(postgres.required_programs()) as port, clickhouse.running() as endpoint:
        stage = Stage(
            "tests.usage.renewing",
            DATABASE_URL=f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres",
            CLICKHOUSE_URL=endpoint.url,
        )
        stage.run("setup")
        epoch = str(time.time())
        user = stage.start("use", "1", epoch)
        workers = [stage.start("work", epoch) for _ in range(WORKERS)]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.5, 3))
            victim = chance.randrange(WORKERS)
            end(workers[victim])
            workers[victim] = stage.start("work", epoch)
        carried = stage.finish(user)
        for worker in workers:
            end(worker)
        found = stage.run("check", epoch)

    assert sum(carried.values()) > 0
    for order, figures in found.items():
        assert len(figures["expected"]) > 10, "few boundaries passed"
        assert figures["renewed"] == figures["expected"]
        assert figures["used"] == carried.get(order, 0)
        assert figures["balance"] == figures["limit"] - figures["used in period"]
        assert figures["limit"] == LIMIT or figures["rollover"]
