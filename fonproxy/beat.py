"""When each scheduled job last ended, shared by all processes: a beat or a worker that stands still shows by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from celery.signals import task_postrun
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

from fonproxy.measures import collect_from_store

KEPT: Final = timedelta(days=2)
DAY: Final = timedelta(days=1)
STILL: Final = timedelta(minutes=3)
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


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled job and the seconds since it last ended; None when it has not in two days."""

    name: str
    age: float | None
    period: float

    @property
    def stands_still(self) -> bool:
        """It has missed three turns, and three minutes: what is slow once is no fault."""
        return self.age is not None and self.age > max(3 * self.period, STILL.total_seconds())

    @property
    def is_awaited(self) -> bool:
        """It should have ended by now if the process has not just started."""
        return self.age is None and self.period < DAY.total_seconds()


def jobs() -> list[Job]:
    """The jobs of the schedule. Raises RedisError."""
    periods = {name: _period(entry["schedule"]) for name, entry in settings.CELERY_BEAT_SCHEDULE.items()}
    return [Job(name, age, periods[name].total_seconds()) for name, age in ages().items()]


def _period(schedule: object) -> timedelta:
    """What is told by the clock comes once a day here."""
    return schedule if isinstance(schedule, timedelta) else DAY


def _key(name: str) -> str:
    return f"job-ended:{name}"


def _families() -> list[GaugeMetricFamily]:
    return [GaugeMetricFamily("fonproxy_job_age_seconds", "Since the scheduled job last ended.", labels=["job"])]


def _fill(family: GaugeMetricFamily) -> None:
    for name, age in ages().items():
        if age is not None:
            family.add_metric([name], age)


def register() -> None:
    collect_from_store(_families, _fill)
