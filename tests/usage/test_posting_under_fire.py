"""Those that keep accounts are killed at random, four at a time on PostgreSQL, and every balance is exact."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests import clickhouse, postgres
from tests.serving import ROOT
from tests.usage.accounting import LIMIT

pytestmark = pytest.mark.torture
KILLS = 50
WORKERS = 4
SEED = 5


class Stage:
    """Processes of :mod:`tests.usage.accounting` on a pair of stores."""

    def __init__(self, **stores: str) -> None:
        self.environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "fonproxy.settings", **stores}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.usage.accounting", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Any:
        output = self.finish(self.start(*arguments))
        return json.loads(output) if output else None

    def finish(self, process: subprocess.Popen[str]) -> str:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return output


def test_balances_are_exact_however_often_those_who_post_are_killed() -> None:
    chance = random.Random(SEED)
    with postgres.running(postgres.required_programs()) as port, clickhouse.running() as endpoint:
        stage = Stage(DATABASE_URL=f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres", CLICKHOUSE_URL=endpoint.url)
        stage.run("setup")
        users = [stage.start("use", str(seed)) for seed in (1, 2)]
        workers = [stage.start("work") for _ in range(WORKERS)]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.5, 3))
            victim = chance.randrange(WORKERS)
            workers[victim].kill()
            workers[victim].communicate()
            workers[victim] = stage.start("work")
        done = [json.loads(stage.finish(user)) for user in users]
        for worker in workers:
            worker.kill()
            worker.communicate()
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
