"""When each scheduled job last ended, shared by all processes: a beat or a worker that stands still shows by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from celery.signals import task_postrun
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

KEPT: Final = timedelta(days=2)
_SCHEDULED: Final = {entry["task"]: name for name, entry in settings.CELERY_BEAT_SCHEDULE.items()}


@task_postrun.connect
def note_end(task: Any = None, **_: Any) -> None:
    name = _SCHEDULED.get(getattr(task, "name", ""))
    if name is None:
        return
    try:
        cache.set(_key(name), timezone.now().timestamp(), KEPT.total_seconds())
    except RedisError:
        return  # the job itself has succeeded, and the next one is noted again


def ages() -> dict[str, float | None]:
    """Seconds since each job of the schedule ended; None for one that has not in two days. Raises RedisError."""
    now = timezone.now().timestamp()
    ended = cache.get_many([_key(name) for name in _SCHEDULED.values()])
    return {name: now - ended[_key(name)] if _key(name) in ended else None for name in _SCHEDULED.values()}


def _key(name: str) -> str:
    return f"job-ended:{name}"


class BeatCollector(Collector):
    def describe(self) -> list[GaugeMetricFamily]:
        return [_family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = _family()
        for name, age in ages().items():
            if age is not None:
                family.add_metric([name], age)
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily("fonproxy_job_age_seconds", "Since the scheduled job last ended.", labels=["job"])


def register() -> None:
    REGISTRY.register(BeatCollector())
