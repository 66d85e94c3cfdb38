from __future__ import annotations

from typing import Any

import pytest
import time_machine
from django.test import Client

from fonproxy import health, job_health


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    checks = {name: lambda name=name: asked.append(name) for name in health.CHECKS}
    monkeypatch.setattr(health, "CHECKS", checks)
    return asked


def test_a_flood_of_readiness_probes_queries_the_stores_once(asked: list[str]) -> None:
    with time_machine.travel(0, tick=False):
        assert {Client().get("/readyz").status_code for _ in range(50)} == {200}
    assert asked == ["database", "clickhouse", "cache"]


def test_readiness_names_stuck_jobs_and_stays_ready(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_health, "stuck", lambda: {"keep-accounts": True, "evaluate-alerts": False})
    health.cached_checks.forget()
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["stuck_jobs"]) == (200, ["keep-accounts"])


def test_while_a_store_hangs_other_probes_get_the_last_answer(asked: list[str], monkeypatch: Any) -> None:
    assert health.cached_checks.stores() == dict.fromkeys(health.CHECKS, True)
    health.cached_checks.forget()
    inner: list[dict[str, bool]] = []

    def hangs() -> None:
        inner.append(health.cached_checks.stores())  # as another thread would query meanwhile

    monkeypatch.setattr(health, "CHECKS", {"database": hangs})
    health.cached_checks.stores()
    assert inner == [dict.fromkeys(("database", "clickhouse", "cache"), True)]
