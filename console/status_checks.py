"""Status checks and figures of the day on the console's first page, and the verdict.

Each check runs separately: if its store does not answer, it says so and the others are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.db import DatabaseError
from django.db.models import Min, QuerySet
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from redis.exceptions import RedisError

from analytics import reports, unattributed
from analytics.ingest import journal
from analytics.models import InsertBlock
from console import gateways, runbook, silence
from fonproxy import delivery, health, job_health
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import DAY
from fonproxy.units import duration, gigabytes, localised
from geo import services as geo
from geo.loaders import loaders
from orders.models import EventDelivery, LedgerReason, ProxyType, WebhookEndpoint
from usage import subscriptions
from usage.models import Delivery, Firing
from usage.periods import day_of

JOURNAL_SLOW: Final = timedelta(seconds=30)
JOURNAL_OLD: Final = timedelta(minutes=5)
MANY_FAILING: Final = 10  # the same as in the alert rules
MAX_NAMED: Final = 10
NO_ANSWER: Final = gettext_lazy("The store for this check does not answer.")
STORE_ERRORS: Final = (DatabaseError, EngineError, RedisError)


class Level(Enum):
    """The level of a check; its word is shown beside the value, so that colour is not the only signal."""

    GOOD = "good", gettext_lazy("good")
    WARN = "warn", gettext_lazy("look into it")
    BAD = "bad", gettext_lazy("bad")
    UNAVAILABLE = "away", gettext_lazy("unavailable")

    def __init__(self, css: str, word: Promise) -> None:
        self.css = css
        self.word = word


class CheckResult(NamedTuple):
    """A value as text; values that are neither good nor bad have no level. ``since`` is when the level began."""

    text: str
    level: Level | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class StatusCheck:
    """A result with a link to its details, and the alert for which the runbook has advice."""

    name: str
    value: str
    level: Level | None = None
    url: str = ""
    since: datetime | None = None
    alert: str = ""

    @property
    def advice(self) -> runbook.Advice | None:
        return runbook.advice(self.alert)

    @property
    def is_bad(self) -> bool:
        return self.level in (Level.BAD, Level.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    facts: list[StatusCheck]


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A check that runs for users who may view the list behind it."""

    name: str
    page: str
    permission: str
    ask: Callable[[datetime], CheckResult]
    query: str = ""
    alert: str = ""

    def answer(self, now: datetime, *, is_away: bool) -> StatusCheck:
        """Runs the checks. Those of an unavailable store are skipped, because each might wait until its timeout."""
        url = reverse(f"admin:{self.page}") + self.query
        try:
            answer = CheckResult(str(NO_ANSWER), Level.UNAVAILABLE) if is_away else self.ask(now)
        except STORE_ERRORS:
            answer = CheckResult(str(NO_ANSWER), Level.UNAVAILABLE)
        return StatusCheck(self.name, answer.text, answer.level, url, answer.since, self.alert)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The failing checks that the user may see, worst first."""

    problems: list[StatusCheck]
    checked_at: datetime

    @property
    def level(self) -> Level:
        if any(check.is_bad for check in self.problems):
            return Level.BAD
        return Level.WARN if self.problems else Level.GOOD

    @property
    def title(self) -> str:
        number, bad = len(self.problems), sum(check.is_bad for check in self.problems)
        wrong = ngettext("%(n)s thing is wrong", "%(n)s things are wrong", bad) % {"n": bad}
        rest = number - bad
        if bad and rest:
            return _("%(wrong)s, %(n)s to look into") % {"wrong": wrong, "n": rest}
        if bad:
            return wrong
        if number:
            return ngettext("%(n)s thing to look into", "%(n)s things to look into", number) % {"n": number}
        return _("All good")


def verdict(panels: Iterable[Panel], now: datetime) -> Verdict:
    """The verdict over all checks, without those that only repeat that a store does not answer."""
    checks = [check for panel in panels for check in panel.facts]
    wrong = [check for check in checks if check.is_bad or check.level is Level.WARN]
    reported = [check for check in wrong if check.level is not Level.UNAVAILABLE or check.alert]
    return Verdict(sorted(reported, key=lambda check: not check.is_bad), now)


def panels(user: Any, now: datetime) -> list[Panel]:
    stores = health.stores()
    has_engine = stores["clickhouse"]
    state = [_stores(stores, now), *_answers(_system(has_engine=has_engine), user, now)]
    state += [*_answers(_gateways(), user, now, is_away=not has_engine), _jobs(now)]
    day = list(_answers(_traffic(now), user, now, is_away=not has_engine))
    day += _answers(_orders(now), user, now)
    return [Panel(_("System"), state), *([Panel(_("Today, in UTC"), day)] if day else [])]


def _answers(
    questions: Iterable[CheckSpec], user: Any, now: datetime, *, is_away: bool = False
) -> Iterator[StatusCheck]:
    asked = (question for question in questions if user.has_perm(question.permission))
    return (question.answer(now, is_away=is_away) for question in asked)


def _stores(stores: Mapping[str, bool], now: datetime) -> StatusCheck:
    alert = "FonProxyStoreUnavailable"
    silent = [name for name, answers in stores.items() if not answers]
    if not silent:
        return StatusCheck(_("Stores"), _("all answer"), Level.GOOD, alert=alert)
    since = min((health.down_since[name] for name in silent if name in health.down_since), default=now)
    text = _("%(stores)s: no answer") % {"stores": ", ".join(silent)}
    return StatusCheck(_("Stores"), text, Level.UNAVAILABLE, since=since, alert=alert)


def _jobs(now: datetime) -> StatusCheck:
    """Whether beat and workers run, by the age of each job. A job before its first run is not late."""
    alert = "FonProxyJobsStuck"
    try:
        jobs, stuck = job_health.jobs(), job_health.stuck()
    except RedisError:
        return StatusCheck(_("Jobs"), str(NO_ANSWER), Level.UNAVAILABLE, alert=alert)
    late = [job for job in jobs if stuck[job.name]]
    if late:
        named = ", ".join(f"{job.name} ({_age(job)})" for job in late)
        oldest = max((job.age for job in late if job.age is not None), default=None)
        since = None if oldest is None else now - timedelta(seconds=oldest)
        return StatusCheck(_("Jobs"), _("stuck: %(jobs)s") % {"jobs": named}, Level.BAD, since=since, alert=alert)
    ages = [job.age for job in jobs if job.age is not None and job.period < job_health.STILL.total_seconds()]
    if not ages:
        return StatusCheck(_("Jobs"), _("started a moment ago"), Level.GOOD, alert=alert)
    idle = timedelta(seconds=min(ages))
    if idle > job_health.IDLE:
        text = _("none ended for %(age)s") % {"age": duration(idle)}
        return StatusCheck(_("Jobs"), text, Level.WARN, since=now - idle, alert=alert)
    text = _("on time, the slowest %(age)s ago") % {"age": duration(timedelta(seconds=max(ages)))}
    return StatusCheck(_("Jobs"), text, Level.GOOD, alert=alert)


def _age(job: job_health.Job) -> str:
    return _("never ended") if job.age is None else duration(timedelta(seconds=job.age))


def _system(*, has_engine: bool) -> list[CheckSpec]:
    batches, waiting = "analytics_ingestbatch_changelist", "?state=waiting"
    see_batches = "analytics.view_ingestbatch"
    blocks = "analytics_insertblock_changelist"
    return [
        CheckSpec(
            _("Rows taken in"),
            batches,
            see_batches,
            lambda now: _rate(now, has_engine=has_engine),
            alert="FonProxyIngestSilent",
        ),
        CheckSpec(_("Journal"), batches, see_batches, _journal, waiting, "FonProxyJournalOld"),
        CheckSpec(
            _("Refused insert blocks"),
            blocks,
            "analytics.view_insertblock",
            _refused,
            waiting,
            "FonProxyJournalRefused",
        ),
        CheckSpec(
            _("Loaders"), "geo_countsnapshot_changelist", "geo.view_countsnapshot", _loaders, alert="FonProxyGeoStale"
        ),
        CheckSpec(
            _("Deliveries"),
            "usage_firing_changelist",
            "usage.view_firing",
            _deliveries,
            "?delivery=failing",
            "FonProxyDeliveriesFailing",
        ),
        CheckSpec(
            _("Webhooks"),
            "orders_providerevent_changelist",
            "orders.view_providerevent",
            _webhooks,
            "?delivery=failing",
            "FonProxyWebhooksFailing",
        ),
    ]


def _gateways() -> list[CheckSpec]:
    return [
        CheckSpec(_("Gateways"), "console_gateways", "analytics.view_ingestbatch", _lag, alert="FonProxyGatewaySilent")
    ]


def _rate(now: datetime, *, has_engine: bool) -> CheckResult:
    """Rows of gateways compared with the same hour of last week."""
    flow = silence.flow(now, with_last_week=has_engine)
    if not flow.expected:
        return CheckResult(_("%(rows)s a minute, over five minutes") % {"rows": localised(round(flow.rate))})
    text = _("%(rows)s a minute; %(expected)s in this hour of last week") % {
        "rows": localised(round(flow.rate)),
        "expected": localised(round(flow.expected)),
    }
    if flow.is_stopped():
        return CheckResult(text, Level.BAD, flow.last_at)
    if flow.is_silent(now) or flow.is_low():
        return CheckResult(text, Level.WARN, flow.last_at if flow.is_silent(now) else None)
    return CheckResult(text, Level.GOOD)


def _lag(now: datetime) -> CheckResult:
    """The gateways of the last day. On the demo and on fresh installations a missing one is no fault."""
    found = gateways.latest(now)
    if not found:
        return CheckResult(_("none reported in the last day"))
    late = [gateway for gateway in found if gateway.is_late]
    if late and silence.is_established(now):
        text = _("silent: %(gateways)s") % {
            "gateways": ", ".join(f"{gateway.name} ({duration(gateway.lag)})" for gateway in late[:MAX_NAMED])
        }
        return CheckResult(text, Level.WARN, late[0].last_at)
    return CheckResult(
        _("%(number)s, the newest row %(age)s old")
        % {"number": len(found), "age": duration(min(gateway.lag for gateway in found))}
    )


def _journal(now: datetime) -> CheckResult:
    depth = journal.depth(now)
    if not depth.batches:
        return CheckResult(_("empty"), Level.GOOD)
    text = ngettext("%(rows)s row waits, for %(age)s", "%(rows)s rows wait, the oldest for %(age)s", depth.rows) % {
        "rows": localised(depth.rows),
        "age": duration(depth.age),
    }
    if depth.age > JOURNAL_SLOW:
        return CheckResult(text, Level.BAD if depth.age > JOURNAL_OLD else Level.WARN, now - depth.age)
    return CheckResult(text, Level.GOOD)


def _refused(now: datetime) -> CheckResult:
    refused = InsertBlock.objects.filter(settled_at=None, attempts__gt=0)
    number = refused.count()
    if not number:
        return CheckResult(_("none"), Level.GOOD)
    return CheckResult(localised(number), Level.BAD, refused.aggregate(since=Min("created_at"))["since"])


def _loaders(now: datetime) -> CheckResult:
    """Residential counts without a provider are mentioned but are no fault: not everybody sells residential proxies."""
    loaded = _loaded(geo.loader_states(now))
    if ProxyType.RESIDENTIAL_GIGA in loaders():
        return loaded
    missing = _("%(proxy_type)s: no provider configured") % {"proxy_type": ProxyType.RESIDENTIAL_GIGA.value}
    return loaded._replace(text=f"{loaded.text}; {missing}")


def _loaded(states: Sequence[geo.LoaderState]) -> CheckResult:
    if not states:
        return CheckResult(_("nothing loaded yet"))
    stale = [state for state in states if state.is_stale]
    if stale:
        names = ", ".join(state.proxy_type for state in stale)
        since = min((state.loaded_at for state in stale if state.loaded_at), default=None)
        return CheckResult(_("stale: %(loaders)s") % {"loaders": names}, Level.WARN, since)
    return CheckResult(_("all %(number)s fresh") % {"number": len(states)}, Level.GOOD)


def _deliveries(now: datetime) -> CheckResult:
    return _delivered(Delivery.objects.all())


def _webhooks(now: datetime) -> CheckResult:
    """The provider's own webhooks; one that was disabled for failing is red until it is enabled again."""
    answer = _delivered(EventDelivery.objects.all())
    if disabled := WebhookEndpoint.objects.filter(is_enabled=False).exclude(disabled_at=None).count():
        return CheckResult(_("%(answer)s, %(n)s disabled") % {"answer": answer.text, "n": disabled}, Level.BAD)
    return answer


def _delivered(deliveries: QuerySet[Any]) -> CheckResult:
    states = delivery.by_state(deliveries)
    text = _("%(failing)s failing, %(given_up)s given up") % {
        name: localised(number) for name, number in states.items()
    }
    if not states["failing"]:
        return CheckResult(text, Level.GOOD)
    return CheckResult(text, Level.BAD if states["failing"] > MANY_FAILING else Level.WARN)


def _traffic(now: datetime) -> list[CheckSpec]:
    """The figures of the day that come from ClickHouse."""
    today = day_of(now)
    everybody = cache(lambda: reports.platform_totals(today))
    ledger = "orders_ledgerentry_changelist", "orders.view_ledgerentry"
    days = {"period_date__gte": f"{today:%Y-%m-%d}", "period_date__lt": f"{today + DAY:%Y-%m-%d}"}
    usage_lines = "?" + urlencode({"reason__exact": LedgerReason.USAGE.value, **days})
    return [
        CheckSpec(_("Requests"), *ledger, lambda _now: CheckResult(localised(everybody().requests)), usage_lines),
        CheckSpec(_("Traffic"), *ledger, lambda _now: CheckResult(gigabytes(everybody().bytes)), usage_lines),
        CheckSpec(
            _("Customers with traffic"),
            "accounts_user_changelist",
            "accounts.view_user",
            lambda _now: CheckResult(localised(everybody().customers)),
            "?traffic=today",
        ),
        CheckSpec(
            _("Unattributed rows"),
            "analytics_unattributed",
            "analytics.view_ingestbatch",
            lambda _now: _unattributed(today),
        ),
    ]


def _orders(now: datetime) -> list[CheckSpec]:
    today = day_of(now)
    return [
        CheckSpec(
            _("Orders that end or run out within three days"),
            "orders_order_changelist",
            "orders.view_order",
            lambda _now: CheckResult(localised(subscriptions.ending_soon(now).count())),
            "?ends=soon",
        ),
        CheckSpec(
            _("Alerts fired"),
            "usage_firing_changelist",
            "usage.view_firing",
            lambda _now: CheckResult(localised(Firing.objects.filter(fired_at__gte=today).count())),
            "?" + urlencode({"fired_at__gte": str(today), "fired_at__lt": str(today + DAY)}),
        ),
    ]


def _unattributed(today: datetime) -> CheckResult:
    rows = unattributed.rows(today)
    return CheckResult(localised(rows), Level.WARN if rows else Level.GOOD)
