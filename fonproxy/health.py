"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import EngineError
from fonproxy.measures import collect_from_store

log = logging.getLogger(__name__)


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """``GET /healthz``: 200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """``GET /readyz``: 200 when the stores and the cache answer, else 503; says which of them does."""
    checks = {name: "ok" if answers else "down" for name, answers in stores().items()}
    is_ready = all(state == "ok" for state in checks.values())
    return JsonResponse({"status": "ok" if is_ready else "down", "checks": checks}, status=200 if is_ready else 503)


def stores() -> dict[str, bool]:
    """Whether each of the stores and the cache answers, by name."""
    return {name: _answers(name, check) for name, check in CHECKS.items()}


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
