"""Liveness and readiness checks."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

from fonproxy import job_health
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import EngineError
from fonproxy.instruments import collect_from_store

CACHED_SECONDS: Final = 1.0

log = logging.getLogger(__name__)

down_since: Final[dict[str, datetime]] = {}
"""When this process first found each currently unavailable store unavailable."""


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """``GET /healthz``: 200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """``GET /readyz``: 200 when the stores and the cache answer, else 503; reports each of them.

    ``stuck_jobs`` names the scheduled jobs that missed several runs, null when the cache does not answer. They do not
    change the status, because this process can still serve.
    """
    checks = {name: "ok" if answers else "down" for name, answers in cached_checks.stores().items()}
    is_ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if is_ready else "down", "checks": checks, "stuck_jobs": cached_checks.stuck_jobs}
    return JsonResponse(body, status=200 if is_ready else 503)


def _stuck_jobs() -> list[str] | None:
    try:
        return [name for name, is_stuck in job_health.stuck().items() if is_stuck]
    except RedisError:
        return None


class CachedChecks:
    """Queries the stores at most once a second, one caller at a time; others get the last result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, bool] = {}
        self._asked_at = -math.inf
        self.stuck_jobs: list[str] | None = None

    def stores(self) -> dict[str, bool]:
        if time.monotonic() < self._asked_at + CACHED_SECONDS:
            return self._answers
        if not self._lock.acquire(blocking=not self._answers):
            return self._answers
        try:
            if time.monotonic() >= self._asked_at + CACHED_SECONDS:
                self._answers, self.stuck_jobs = stores(), _stuck_jobs()
                self._asked_at = time.monotonic()
            return self._answers
        finally:
            self._lock.release()

    def forget(self) -> None:
        self._asked_at = -math.inf


cached_checks = CachedChecks()


def stores() -> dict[str, bool]:
    """Whether each of the stores and the cache answers, by name."""
    answers = {name: _answers(name, check) for name, check in CHECKS.items()}
    for name, does_answer in answers.items():
        if does_answer:
            down_since.pop(name, None)
        else:
            down_since.setdefault(name, timezone.now())
    return answers


def _answers(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except (DatabaseError, EngineError, RedisError) as error:
        log.warning("%s is not ready: %s", name, error)
        return False
    return True


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _engine() -> None:
    get_client().fetch("SELECT count() FROM schema_migrations", tag="readyz")


def _cache() -> None:
    cache.get("readyz")


CHECKS: Final = {"database": _database, "clickhouse": _engine, "cache": _cache}


def _families() -> list[GaugeMetricFamily]:
    return [GaugeMetricFamily("fonproxy_store_up", "1 when the store answers this process.", labels=["store"])]


def _fill(family: GaugeMetricFamily) -> None:
    for name, answers in stores().items():
        family.add_metric([name], float(answers))


def register() -> None:
    collect_from_store(_families, _fill)
