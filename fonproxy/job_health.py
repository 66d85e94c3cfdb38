"""When each scheduled job last finished, in the shared cache: shows whether beat or workers are stuck."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from celery.signals import task_postrun
from celery.states import SUCCESS
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

from fonproxy.instruments import collect_from_store

KEPT: Final = timedelta(days=2)
DAY: Final = timedelta(days=1)
STILL: Final = timedelta(minutes=3)
IDLE: Final = timedelta(seconds=45)
"""Some jobs run every few seconds: if none has finished for this long, beat or the workers have stopped."""
_STARTED: Final = monotonic()
_SCHEDULED: Final = {entry["task"]: name for name, entry in settings.CELERY_BEAT_SCHEDULE.items()}


@task_postrun.connect
def note_end(task: Any = None, state: str = SUCCESS, retval: Any = None, **_: Any) -> None:
    """Records that a job finished; one that failed, or returned False because it could not work, is not recorded."""
    name = _SCHEDULED.get(getattr(task, "name", ""))
    if name is None or state != SUCCESS or retval is False:
        return
    try:
        cache.set(_key(name), timezone.now().timestamp(), KEPT.total_seconds())
    except RedisError:
        return  # the job itself has succeeded, and its next run is recorded


def ages() -> dict[str, float | None]:
    """Seconds since each scheduled job finished; None if it has not within two days. Raises RedisError."""
    now = timezone.now().timestamp()
    ended = cache.get_many([_key(name) for name in _SCHEDULED.values()])
    return {name: now - ended[_key(name)] if _key(name) in ended else None for name in _SCHEDULED.values()}


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled job and the seconds since it last finished; None if it has not within two days."""

    name: str
    age: float | None
    period: float

    @property
    def patience(self) -> float:
        return max(3 * self.period, STILL.total_seconds())

    @property
    def is_stuck(self) -> bool:
        """Whether it has missed three runs, and for at least three minutes."""
        return self.age is not None and self.age > self.patience

    @property
    def is_awaited(self) -> bool:
        """Whether it has not finished yet, although its period is shorter than a day."""
        return self.age is None and self.period < DAY.total_seconds()


def stuck(uptime: float | None = None) -> dict[str, bool]:
    """Whether each job is stuck; a job that never finished is, once this process has run for long enough.

    ``uptime`` is in seconds, by default that of this process. Raises RedisError.
    """
    running = monotonic() - _STARTED if uptime is None else uptime
    return {job.name: job.is_stuck or (job.is_awaited and running > job.patience) for job in jobs()}


def jobs() -> list[Job]:
    """The scheduled jobs. Raises RedisError."""
    periods = {name: _period(entry["schedule"]) for name, entry in settings.CELERY_BEAT_SCHEDULE.items()}
    return [Job(name, age, periods[name].total_seconds()) for name, age in ages().items()]


def _period(schedule: object) -> timedelta:
    """The interval of a schedule; crontab schedules here are daily."""
    return schedule if isinstance(schedule, timedelta) else DAY


def _key(name: str) -> str:
    return f"job-ended:{name}"


def _families() -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily("fonproxy_job_age_seconds", "Time since the scheduled job last finished.", labels=["job"]),
        GaugeMetricFamily("fonproxy_job_stuck", "1 when the scheduled job has missed several runs.", labels=["job"]),
    ]


def _fill(since_end: GaugeMetricFamily, missed: GaugeMetricFamily) -> None:
    for name, age in ages().items():
        if age is not None:
            since_end.add_metric([name], age)
    for name, is_stuck in stuck().items():
        missed.add_metric([name], float(is_stuck))


def register() -> None:
    collect_from_store(_families, _fill)
