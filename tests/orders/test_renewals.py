"""Orders that renew automatically: a year of them compared with a plain model, including what interrupts it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import hypothesis
import msgspec
import pytest
from django.db import IntegrityError, transaction
from hypothesis import strategies as st

from accounts.models import User
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.api.errors import Conflict, InvalidInput
from fonproxy.clickhouse.client import Client
from orders import ledger, renewals, webhooks
from orders import services as order_services
from orders.models import LedgerEntry, LedgerReason, Order, ProviderEvent
from orders.periods import Every, RecurringPeriod
from tests.analytics.helpers import engine_unavailable
from tests.orders.helpers import change
from tests.orders.test_periods import days_of, first_instant
from tests.thoroughness import drawn, examples
from tests.usage.helpers import carry, carry_and_post, figures
from tests.usage.model import OrderModel
from usage import metering, tasks

DAY = timedelta(days=1)
GB = 2**30
START = datetime(2027, 5, 20, 9, tzinfo=UTC)
YEAR = timedelta(days=366)  # it contains the leap day of 2028
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Chatham", "America/Havana")


@dataclass
class Life:
    """An order and its model."""

    order: Order
    model: OrderModel
    boundaries: Iterator[datetime] = field(repr=False)
    coming: datetime = START

    def __post_init__(self) -> None:
        self.coming = next(at for at in self.boundaries if at > START)

    @property
    def ends(self) -> datetime:
        return self.model.expires_at or datetime.max.replace(tzinfo=UTC)

    def pass_boundaries(self, now: datetime) -> None:
        """What the model expects of every boundary until now."""
        while self.coming <= now and self.coming < self.ends:
            self.model.recur(self.coming)
            self.coming = next(self.boundaries)

    def compare(self, now: datetime) -> None:
        assert figures(self.order) == {
            "credits": self.model.credits,
            "carried": +self.model.carried,
            "balance": self.model.balance,
            "limit": self.model.limit,
            "published": self.model.state(now),
        }


@pytest.fixture
def born(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Callable[..., Life]:
    def make(period: RecurringPeriod, limit: int = 10 * GB, expires_at: datetime | None = None) -> Life:
        order = make_order(alice, limit=limit, started_at=START, expires_at=expires_at, now=START, period=period)
        boundaries = (first_instant(day, period.timezone) for day in days_of(period))
        return Life(order, OrderModel(limit, expires_at=expires_at, rollover=period.rollover), boundaries)

    return make


def beat(now: datetime, *, posts_first: bool) -> None:
    """The tasks of one moment, in either order: closing needs the usage, the others do not depend on each other."""
    steps: list[Callable[[datetime], Any]] = [renewals.renew_due, metering.post_usage]
    for step in reversed(steps) if posts_first else steps:
        step(now)
    order_services.close_expired(now)


class OutageEvent(NamedTuple):
    """An event while beat is down, after that part of the time."""

    after: float
    kind: str
    size: int
    whose: int = 0


class BeatGap(NamedTuple):
    """The time until the next run of beat."""

    length: timedelta
    events: list[OutageEvent]
    posts_first: bool


KINDS = ("use", "use", "use", "top up", "renew")
LENGTHS = (timedelta(minutes=1), timedelta(hours=7), timedelta(hours=30), 9 * DAY)


def live(lives: list[Life], intervals: Iterable[BeatGap]) -> datetime:
    """Runs the orders through the intervals, and compares them with their models at the end."""
    now = START
    number = 0
    for interval in intervals:
        used: list[tuple[Life, datetime, int]] = []
        for event in sorted(interval.events):
            life, at, number = lives[event.whose % len(lives)], now + event.after * interval.length, number + 1
            if life.ends > at:
                if event.kind == "use":
                    used.append((life, at, event.size))
                else:
                    HAPPEN[event.kind](life, at, event.size, f"{event.kind} {number}")
        now += interval.length
        carry_all(used, now)
        beat(now, posts_first=interval.posts_first)
        for life in lives:
            life.pass_boundaries(now)
            life.model.pass_time(now)
    for life in lives:
        life.compare(now)
    return now


def carry_all(used: list[tuple[Life, datetime, int]], now: datetime) -> None:
    """One late batch, sent once the proxies can reach the server again; its rows keep the times of their traffic."""
    rows = [
        {
            "ts": f"{at:%Y-%m-%d %H:%M:%S}",
            "user_id": life.order.user_id,
            "order_id": life.order.pk,
            "count": 1,
            "bytes_received": size,
        }
        for life, at, size in used
    ]
    if rows:
        account = used[0][0].order.user_id
        body = msgspec.json.encode({"logs": rows})
        ingest_service.accept(body, to_inbox, account_id=account, route=IngestBatch.Route.TRAFFIC, key=None, now=now)
    for life, at, size in used:
        life.model.carry_at(at, size)


def _top_up(life: Life, at: datetime, size: int, reference: str) -> None:
    order_services.credit(life.order, LedgerReason.TOP_UP, size, reference=reference, author="shop", now=at)
    life.pass_boundaries(at)
    life.model.add("top_up", size)


def _renew(life: Life, at: datetime, size: int, reference: str) -> None:
    ends = life.model.expires_at
    order_services.renew(life.order, reference=reference, author="shop", amount=size, expires_at=ends, now=at)
    life.pass_boundaries(at)
    life.model.renew(size, ends)


HAPPEN: dict[str, Callable[[Life, datetime, int, str], None]] = {"top up": _top_up, "renew": _renew}


def a_year(chance: random.Random) -> Iterator[BeatGap]:
    passed = timedelta(0)
    while passed < YEAR:
        length = max(timedelta(minutes=1), chance.random() * chance.choice(LENGTHS))
        events = [
            OutageEvent(chance.random(), chance.choice(KINDS), chance.randrange(3 * GB), chance.randrange(100))
            for _ in range(5)
        ]
        yield BeatGap(length, events, posts_first=chance.random() < 0.5)
        passed += length


def every_kind(count: int) -> list[RecurringPeriod]:
    found = []
    for number in range(count):
        every, zone = list(Every)[(number + number // 6) % 3], ZONES[number % 6]
        found.append(RecurringPeriod(every, date(2026, 12, 31) - number * DAY, zone, rollover=bool(number % 2)))
    return found


@pytest.mark.parametrize(
    "count",
    [pytest.param(examples(6), marks=(drawn, pytest.mark.processes)), pytest.param(50, marks=pytest.mark.torture)],
)
def test_a_year_of_orders_in_six_zones_follows_the_model(born: Callable[..., Life], count: int) -> None:
    ends = [None, None, START + 200 * DAY + timedelta(hours=3)]
    lives = [born(period, expires_at=ends[number % 5 % 3]) for number, period in enumerate(every_kind(count))]
    until = live(lives, a_year(random.Random(24)))
    for life in lives:
        names = life.order.ledger.filter(reference__startswith="period-").values_list("reference", flat=True)
        assert sorted(map(str, names)) == list(names_until(life, until))


def names_until(life: Life, until: datetime) -> Iterator[str]:
    """The names of the boundaries at which the order has renewed by then."""
    assert life.order.period
    for day in days_of(life.order.period):
        at = first_instant(day, life.order.period.timezone)
        if at > until or at >= life.ends:
            return
        if at > START:
            yield f"period-{day}"


fractions = st.floats(0, 0.99)
events = st.lists(st.builds(OutageEvent, fractions, st.sampled_from(KINDS), st.integers(0, 12 * GB)), max_size=3)
intervals = st.builds(
    BeatGap,
    st.builds(lambda length, part: max(timedelta(minutes=1), part * length), st.sampled_from(LENGTHS), fractions),
    events,
    st.booleans(),
)


@drawn
@hypothesis.given(
    st.builds(
        RecurringPeriod,
        st.sampled_from(Every),
        st.dates(date(2027, 1, 1), date(2027, 5, 31)),
        st.sampled_from(ZONES),
        st.booleans(),
    ),
    st.one_of(st.none(), st.integers(1, 60)),
    st.lists(intervals, max_size=12),
)
@hypothesis.settings(
    max_examples=examples(20),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
def test_any_life_with_recurring_periods_follows_the_model(
    born: Callable[..., Life], period: RecurringPeriod, days: int | None, intervals: list[BeatGap]
) -> None:
    life = born(period, expires_at=None if days is None else START + days * DAY)
    live([life], intervals)


DAILY = RecurringPeriod(Every.DAY, date(2027, 1, 1))
MONTHLY = RecurringPeriod(Every.MONTH, date(2027, 1, 31))


def midnight(days: int) -> datetime:
    """This many midnights after the start."""
    return START.replace(hour=0) + days * DAY


def purchases(order: Order) -> list[tuple[str | None, int]]:
    found = order.ledger.filter(reason=LedgerReason.SERVICE_PURCHASE).order_by("pk")
    return list(found.values_list("reference", "bytes"))


def test_a_renewal_is_posted_at_its_boundary_and_not_before(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    assert renewals.renew_due(midnight(1) - timedelta(microseconds=1)) == 0
    assert renewals.renew_due(midnight(1)) == 1
    assert renewals.renew_due(midnight(1)) == 0
    assert purchases(order) == [(None, 10 * GB), ("period-2027-05-21", 10 * GB)]
    order.refresh_from_db()
    assert (order.period_number, order.period_started_at, order.renews_at) == (2, midnight(1), midnight(2))


def test_usage_before_a_missed_boundary_counts_before_it(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    carry(order, midnight(1) - timedelta(minutes=1), 4 * GB)
    carry(order, midnight(1), 3 * GB)
    metering.post_usage(midnight(1) + timedelta(hours=5))
    renewals.renew_due(midnight(1) + timedelta(hours=5))
    order.refresh_from_db()
    assert (ledger.balance(order), ledger.used([order])[order.pk]) == (7 * GB, 3 * GB)


def test_an_exhausted_order_is_released_at_its_boundary(born: Callable[..., Life]) -> None:
    order = born(MONTHLY).order
    carry_and_post(order, START, 11 * GB)
    assert figures(order)["published"] == "exhausted"
    renewals.renew_due(datetime(2027, 5, 31, tzinfo=UTC))
    assert (figures(order)["published"], figures(order)["balance"]) == ("active", 10 * GB)


def test_a_change_at_the_boundary_belongs_to_the_new_period(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    order_services.credit(order, LedgerReason.TOP_UP, GB, reference="t", author="shop", now=midnight(1))
    assert (figures(order)["limit"], len(purchases(order))) == (11 * GB, 2)
    renewals.renew_due(midnight(1))
    assert figures(order)["limit"] == 11 * GB


def test_a_manual_renewal_sets_the_limit_of_later_periods(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    order_services.renew(order, reference="r", author="shop", amount=20 * GB, now=START)
    renewals.renew_due(midnight(1))
    assert [size for _, size in purchases(order)] == [10 * GB, 20 * GB, 20 * GB]


def test_an_order_without_a_limit_begins_new_periods_too(alice: User, make_order: Any, clean_engine: Client) -> None:
    order = make_order(alice, limit=None, started_at=START, now=START, period=DAILY)
    carry_and_post(order, START, GB)
    renewals.renew_due(midnight(1))
    order.refresh_from_db()
    assert purchases(order) == [(None, 0), ("period-2027-05-21", 0)]
    assert (ledger.used([order])[order.pk], figures(order)["published"]) == (0, "active")


def test_the_end_of_an_order_is_not_a_boundary(born: Callable[..., Life]) -> None:
    order = born(DAILY, expires_at=midnight(2)).order
    renewals.renew_due(midnight(5))
    order_services.close_expired(midnight(5))
    assert len(purchases(order)) == 2
    assert figures(order)["balance"] == 0
    order.refresh_from_db()
    assert order.next_renewal is None


def test_boundaries_before_the_end_are_renewed_even_after_the_end(born: Callable[..., Life]) -> None:
    order = born(DAILY, expires_at=midnight(2) + timedelta(hours=1)).order
    order_services.close_expired(midnight(5))
    assert len(purchases(order)) == 3
    assert figures(order)["balance"] == 0


@pytest.mark.parametrize("is_closed", [True, False])
def test_an_extended_order_renews_for_the_current_period(born: Callable[..., Life], is_closed: bool) -> None:
    order = born(DAILY, expires_at=midnight(2)).order
    assert renewals.renew_due(midnight(1)) == 1
    if is_closed:
        order_services.close_expired(midnight(2))
    change(order, midnight(6) + timedelta(hours=1), expires_at=midnight(30))
    assert [name for name, _ in purchases(order)] == [None, "period-2027-05-21", "period-2027-05-26"]
    order.refresh_from_db()
    assert (figures(order)["balance"], order.renews_at) == (10 * GB, midnight(7))


def test_a_manual_renewal_of_an_expired_order_resumes_automatic_renewals(born: Callable[..., Life]) -> None:
    order = born(DAILY, expires_at=midnight(2)).order
    order_services.renew(order, reference="r", author="shop", expires_at=midnight(30), now=midnight(6))
    order.refresh_from_db()
    assert order.renews_at == midnight(7)
    assert [name for name, _ in purchases(order)] == [None, "period-2027-05-21", "r"]


def test_a_changed_period_renews_passed_boundaries_first_and_then_its_own(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    change(order, midnight(2) + timedelta(hours=1), period=MONTHLY)
    assert len(purchases(order)) == 3
    order.refresh_from_db()
    assert order.renews_at == datetime(2027, 5, 31, tzinfo=UTC)
    change(order, midnight(3), period=None)
    order.refresh_from_db()
    assert [order.period, order.renews_at] == [None, None]
    assert renewals.renew_due(midnight(300)) == 0


def test_a_day_renews_once_even_across_a_change_of_zone(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    change(order, midnight(1), period=RecurringPeriod(Every.DAY, DAILY.anchor, "America/New_York"))
    renewals.renew_due(midnight(1) + timedelta(hours=6))  # there, too, a day has begun by now: the same one
    assert len(purchases(order)) == 2
    renewals.renew_due(midnight(2) + timedelta(hours=6))
    assert len(purchases(order)) == 3


def test_a_change_of_zone_skips_no_boundary(born: Callable[..., Life]) -> None:
    order = born(RecurringPeriod(Every.MONTH, date(2027, 5, 1))).order
    in_berlin = RecurringPeriod(Every.MONTH, date(2027, 5, 1), "Europe/Berlin")
    change(order, datetime(2027, 5, 31, 23, 30, tzinfo=UTC), period=in_berlin)  # June has begun there
    assert [name for name, _ in purchases(order)] == [None, "period-2027-06-01"]
    renewals.renew_due(datetime(2027, 6, 2, tzinfo=UTC))
    order.refresh_from_db()
    assert (len(purchases(order)), order.renews_at) == (2, datetime(2027, 6, 30, 22, tzinfo=UTC))


@pytest.mark.parametrize("minute", [0, 15])
def test_a_change_of_zone_renews_at_no_boundary_at_or_before_the_start(
    minute: int, alice: User, make_order: Any, clean_engine: Client
) -> None:
    bought = datetime(2027, 5, 31, 22, minute, tzinfo=UTC)
    order = make_order(
        alice, limit=GB, started_at=bought, now=bought, period=RecurringPeriod(Every.MONTH, date(2027, 5, 1))
    )
    change(order, bought + timedelta(minutes=1), period=RecurringPeriod(Every.MONTH, date(2027, 5, 1), "Europe/Berlin"))
    order.refresh_from_db()
    assert (len(purchases(order)), order.renews_at) == (1, datetime(2027, 6, 30, 22, tzinfo=UTC))


def test_boundaries_before_the_start_renew_nothing(alice: User, make_order: Any, clean_engine: Client) -> None:
    order = make_order(alice, limit=GB, started_at=midnight(9), now=START, period=DAILY)
    assert order.renews_at == midnight(10)
    bought_late = make_order(alice, limit=GB, started_at=midnight(-9), now=START, period=DAILY)
    assert bought_late.renews_at == midnight(1)


def test_an_anchor_in_the_future_is_the_first_boundary(alice: User, make_order: Any, clean_engine: Client) -> None:
    period = RecurringPeriod(Every.WEEK, date(2027, 7, 1))
    order = make_order(alice, limit=GB, started_at=START, now=START, period=period)
    assert order.renews_at == datetime(2027, 7, 1, tzinfo=UTC)


def test_rollover_carries_over_the_remainder_but_no_overrun(born: Callable[..., Life]) -> None:
    order = born(RecurringPeriod(Every.DAY, date(2027, 1, 1), rollover=True)).order
    carry_and_post(order, START, 4 * GB)
    renewals.renew_due(midnight(1))
    assert (figures(order)["limit"], figures(order)["balance"]) == (16 * GB, 16 * GB)
    carry_and_post(order, midnight(1), 17 * GB)
    renewals.renew_due(midnight(2))
    assert (figures(order)["limit"], figures(order)["balance"]) == (10 * GB, 10 * GB)


def test_a_remainder_of_one_byte_is_carried_over_and_none_makes_no_entry(born: Callable[..., Life]) -> None:
    order = born(RecurringPeriod(Every.DAY, date(2027, 1, 1), rollover=True), limit=2).order
    carried = order.ledger.filter(reason=LedgerReason.ADJUSTMENT, note__startswith="carried over")
    carry_and_post(order, START, 1)
    renewals.renew_due(midnight(1))
    assert [(entry.bytes, entry.note) for entry in carried] == [(1, "carried over from period 1")]
    carry_and_post(order, midnight(1), 3)
    renewals.renew_due(midnight(2))
    assert (carried.all().count(), figures(order)["limit"]) == (1, 2)


def test_a_late_renewal_begins_the_period_at_its_boundary_and_says_what_it_renews(
    born: Callable[..., Life], alice: User, make_order: Any
) -> None:
    webhooks.create(url="https://billing.example/", description="", event_types=[], now=START)
    metered, unmetered = born(DAILY).order, make_order(alice, limit=None, started_at=START, now=START, period=DAILY)
    renewals.renew_due(midnight(1) + timedelta(hours=5))
    for order, size in ((metered, 10 * GB), (unmetered, 0)):
        order.refresh_from_db()
        assert order.period_started_at == midnight(1)
        [purchase] = order.ledger.filter(reference="period-2027-05-21")
        assert (purchase.bytes, purchase.note) == (size, "renewed every day in UTC")
    renewed = ProviderEvent.objects.filter(type="order.renewed").order_by("pk")
    told = [(event.data["bytes"], event.data["reference"]) for event in renewed]
    assert sorted(told) == [(0, "period-2027-05-21"), (10 * GB, "period-2027-05-21")]


def test_rollover_never_exceeds_the_integers_of_json(born: Callable[..., Life]) -> None:
    order = born(RecurringPeriod(Every.DAY, date(2027, 1, 1), rollover=True), limit=2**53 - 1).order
    renewals.renew_due(midnight(1))
    assert figures(order)["limit"] == 2**53 - 1


def test_a_renewal_does_not_wait_for_the_engine(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    carry_and_post(order, START, 4 * GB)
    with engine_unavailable():
        tasks.renew_orders()
        renewals.renew_due(midnight(1))
    assert (figures(order)["balance"], len(purchases(order))) == (10 * GB, 2)


def test_reconciliation_finds_nothing_to_correct_after_a_rollover(born: Callable[..., Life]) -> None:
    from usage import reconciliation

    order = born(RecurringPeriod(Every.DAY, date(2027, 1, 1), rollover=True)).order
    carry(order, START, GB)
    renewals.renew_due(midnight(1))
    assert reconciliation.reconcile(midnight(1)) == []


def test_the_database_refuses_a_second_renewal_of_a_boundary(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    renewals.renew_due(midnight(1))
    with pytest.raises(IntegrityError), transaction.atomic():
        ledger.post(order, LedgerReason.SERVICE_PURCHASE, 1, now=midnight(1), reference="period-2027-05-21")


def test_no_caller_can_use_the_reference_of_a_future_boundary(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    with pytest.raises(InvalidInput, match="automatic renewals") as refused:
        order_services.credit(order, LedgerReason.TOP_UP, 1, reference="period-2027-05-21", author="shop", now=START)
    with pytest.raises(InvalidInput, match="automatic renewals"):
        order_services.renew(order, reference="period-2027-05-21", author="shop", now=START)
    assert [error.field for error in refused.value.errors] == ["reference"]
    renewals.renew_due(midnight(1))
    assert purchases(order) == [(None, 10 * GB), ("period-2027-05-21", 10 * GB)]


def test_a_top_up_cannot_use_the_reference_of_a_boundary(born: Callable[..., Life]) -> None:
    order = born(DAILY).order
    renewals.renew_due(midnight(1))
    with pytest.raises(Conflict, match="was used before"):
        order_services.credit(
            order, LedgerReason.TOP_UP, 1, reference="period-2027-05-21", author="shop", now=midnight(1)
        )
    assert LedgerEntry.objects.filter(order=order, reason=LedgerReason.TOP_UP).count() == 0
