"""What the staff console's first page tells: the system's state, and the day's numbers.

Each fact is asked for by itself. Where the store behind it does not answer, the fact says so, and the others stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

from django.db import DatabaseError
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from redis.exceptions import RedisError

from analytics import journal, reports, unattributed
from fonproxy import beat, health
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import DAY
from geo import services as geo
from usage import subscriptions
from usage.alerts import deliveries
from usage.console.text import duration, gigabytes
from usage.models import Firing, Reason
from usage.periods import day_of

RATE_OVER: Final = timedelta(minutes=5)
JOURNAL_SLOW: Final = timedelta(seconds=30)
JOURNAL_OLD: Final = timedelta(minutes=5)
MANY_FAILING: Final = 10  # as in the alert rules
NO_ANSWER: Final = gettext_lazy("The store behind this does not answer.")
AWAY: Final = (DatabaseError, EngineError, RedisError)


class Level(Enum):
    """How a fact is: its word stands beside the value, so that colour is not what tells."""

    GOOD = "good", gettext_lazy("good")
    WARN = "warn", gettext_lazy("look into it")
    BAD = "bad", gettext_lazy("bad")
    AWAY = "away", gettext_lazy("away")

    def __init__(self, css: str, word: Promise) -> None:
        self.css = css
        self.word = word


@dataclass(frozen=True, slots=True)
class Fact:
    """A value as text, with the page that shows what is behind it. What is neither good nor bad has no level."""

    name: str
    value: str
    level: Level | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    facts: list[Fact]


@dataclass(frozen=True, slots=True)
class Question:
    """Asked for those who have the permission to see the list behind the answer."""

    name: str
    page: str
    permission: str
    ask: Callable[[datetime], tuple[str, Level | None]]
    query: str = ""

    def answer(self, now: datetime, *, is_away: bool) -> Fact:
        """A store that is known to be away is not asked: each might wait for long."""
        url = reverse(f"admin:{self.page}") + self.query
        try:
            value, level = (NO_ANSWER, Level.AWAY) if is_away else self.ask(now)
        except AWAY:
            value, level = NO_ANSWER, Level.AWAY
        return Fact(self.name, str(value), level, url)


def panels(user: Any, now: datetime) -> list[Panel]:
    stores = health.stores()
    state = [_stores(stores), *_answers(_system(), user, now), _jobs()]
    day = list(_answers(_traffic(now), user, now, is_away=not stores["clickhouse"]))
    day += _answers(_orders(now), user, now)
    return [Panel(_("System"), state), *([Panel(_("Today, in UTC"), day)] if day else [])]


def _answers(questions: Iterable[Question], user: Any, now: datetime, *, is_away: bool = False) -> Iterator[Fact]:
    asked = (question for question in questions if user.has_perm(question.permission))
    return (question.answer(now, is_away=is_away) for question in asked)


def _stores(stores: Mapping[str, bool]) -> Fact:
    away = [name for name, answers in stores.items() if not answers]
    if away:
        return Fact(_("Stores"), _("%(stores)s: no answer") % {"stores": ", ".join(away)}, Level.AWAY)
    return Fact(_("Stores"), _("all answer"), Level.GOOD)


def _jobs() -> Fact:
    """Beat and its workers show by the age of what they should have done."""
    try:
        jobs = beat.jobs()
    except RedisError:
        return Fact(_("Jobs"), str(NO_ANSWER), Level.AWAY)
    still = [f"{job.name} ({duration(timedelta(seconds=job.age or 0))})" for job in jobs if job.stands_still]
    if still:
        return Fact(_("Jobs"), _("stand still: %(jobs)s") % {"jobs": ", ".join(still)}, Level.BAD)
    if awaited := [job.name for job in jobs if job.is_awaited]:
        return Fact(_("Jobs"), _("not ended yet: %(jobs)s") % {"jobs": ", ".join(awaited)}, Level.WARN)
    lag = max((job.age or 0 for job in jobs if job.period < beat.STILL.total_seconds()), default=0)
    return Fact(
        _("Jobs"), _("on time, the slowest %(age)s ago") % {"age": duration(timedelta(seconds=lag))}, Level.GOOD
    )


def _system() -> list[Question]:
    batches, waiting = "analytics_batch_changelist", "?state=waiting"
    return [
        Question(_("Rows taken in"), batches, "analytics.view_batch", _rate),
        Question(_("Journal"), batches, "analytics.view_batch", _journal, waiting),
        Question(_("Refused groups"), "analytics_group_changelist", "analytics.view_group", _refused, waiting),
        Question(_("Loaders"), "geo_countsnapshot_changelist", "geo.view_countsnapshot", _loaders),
        Question(_("Deliveries"), "usage_firing_changelist", "usage.view_firing", _deliveries, "?delivery=failing"),
    ]


def _rate(now: datetime) -> tuple[str, Level | None]:
    rate = journal.rows_taken(now - RATE_OVER) / (RATE_OVER / timedelta(minutes=1))
    return _("%(rows)s a minute, over five minutes") % {"rows": f"{rate:,.0f}"}, None


def _journal(now: datetime) -> tuple[str, Level | None]:
    depth = journal.depth(now)
    if not depth.batches:
        return _("empty"), Level.GOOD
    told = _("%(rows)s rows wait, the oldest for %(age)s") % {"rows": f"{depth.rows:,}", "age": duration(depth.age)}
    if depth.age > JOURNAL_SLOW:
        return told, Level.BAD if depth.age > JOURNAL_OLD else Level.WARN
    return told, Level.GOOD


def _refused(now: datetime) -> tuple[str, Level | None]:
    refused = journal.depth(now).refused_groups
    return (f"{refused:,}", Level.BAD) if refused else (_("none"), Level.GOOD)


def _loaders(now: datetime) -> tuple[str, Level | None]:
    states = geo.loader_states(now)
    if not states:
        return _("nothing was loaded yet"), Level.WARN
    stale = [state.proxy_type for state in states if state.is_stale]
    if stale:
        return _("stale: %(loaders)s") % {"loaders": ", ".join(stale)}, Level.WARN
    return _("all %(number)s fresh") % {"number": len(states)}, Level.GOOD


def _deliveries(now: datetime) -> tuple[str, Level | None]:
    states = deliveries.by_state()
    told = _("%(failing)s failing, %(given_up)s given up") % {name: f"{number:,}" for name, number in states.items()}
    if not states["failing"]:
        return told, Level.GOOD
    return told, Level.BAD if states["failing"] > MANY_FAILING else Level.WARN


def _traffic(now: datetime) -> list[Question]:
    """The day's, of which ClickHouse knows."""
    today = day_of(now)
    everybody = cache(lambda: reports.of_everybody(today))
    ledger = "usage_ledgerentry_changelist", "usage.view_ledgerentry"
    days = {"period_date__gte": f"{today:%Y-%m-%d}", "period_date__lt": f"{today + DAY:%Y-%m-%d}"}
    carried = "?" + urlencode({"reason__exact": Reason.USAGE.value, **days})
    return [
        Question(_("Requests"), *ledger, lambda _now: (f"{everybody().requests:,}", None), carried),
        Question(_("Traffic"), *ledger, lambda _now: (gigabytes(everybody().bytes), None), carried),
        Question(
            _("Customers with traffic"),
            "accounts_user_changelist",
            "accounts.view_user",
            lambda _now: (f"{everybody().customers:,}", None),
            "?traffic=today",
        ),
        Question(
            _("Unattributed rows"), "analytics_unattributed", "analytics.view_batch", lambda _now: _unattributed(today)
        ),
    ]


def _orders(now: datetime) -> list[Question]:
    today = day_of(now)
    return [
        Question(
            _("Orders that end or run out within three days"),
            "accounts_order_changelist",
            "accounts.view_order",
            lambda _now: (f"{subscriptions.ending_soon(now).count():,}", None),
            "?ends=soon",
        ),
        Question(
            _("Alerts fired"),
            "usage_firing_changelist",
            "usage.view_firing",
            lambda _now: (f"{Firing.objects.filter(fired_at__gte=today).count():,}", None),
            "?" + urlencode({"fired_at__gte": str(today), "fired_at__lt": str(today + DAY)}),
        ),
    ]


def _unattributed(today: datetime) -> tuple[str, Level | None]:
    rows = unattributed.rows(today)
    return f"{rows:,}", Level.WARN if rows else Level.GOOD
