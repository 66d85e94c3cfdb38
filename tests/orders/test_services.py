"""What each change of an order posts, stores and publishes, without traffic."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.exceptions import NotFound

from accounts.models import User
from fonproxy.api.errors import Conflict, FieldError, InvalidInput
from orders import services
from orders.limits import AT_ONCE
from orders.models import CutOff, LedgerEntry, LedgerReason, Network, Order, Product, ProxyType, ProxyUser
from orders.periods import Every, RecurringPeriod
from tests.orders.helpers import change
from usage.models import Alert

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = START + DAY
Entry = tuple[str, int, str, str, str | None, datetime]


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice, limit=100, started_at=START, expires_at=START + 30 * DAY, now=START)


@pytest.fixture
def unmetered(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice, limit=None, started_at=START, now=START)


def entries(order: Order) -> list[Entry]:
    """The ledger after the first purchase."""
    found = LedgerEntry.objects.filter(order=order).order_by("pk")[1:]
    return [(each.reason, each.bytes, each.author, each.note, each.reference, each.created_at) for each in found]


def stored(order: Order, *fields: str) -> tuple[Any, ...]:
    order.refresh_from_db()
    return tuple(getattr(order, field) for field in fields)


def published(order: Order) -> tuple[str, datetime] | None:
    cut_off = CutOff.objects.filter(order=order).first()
    return (cut_off.state, cut_off.changed_at) if cut_off else None


def buy(user: User, **fields: Any) -> Order:
    product, _ = Product.objects.get_or_create(
        name="giga", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL
    )
    asked: dict[str, Any] = {
        "name": "One",
        "limit_bytes": 100,
        "started_at": START,
        "expires_at": None,
        "now": LATER,
    } | fields
    return services.buy(user=user, product=product, **asked)


def test_a_new_order_has_the_given_values_and_a_purchase_entry(alice: User) -> None:
    order = buy(alice, expires_at=START + 9 * DAY, external_id="e1", author="shop")
    assert stored(
        order, "user", "name", "external_id", "traffic_limit_bytes", "started_at", "period_started_at", "expires_at"
    ) == (alice, "One", "e1", 100, START, START, START + 9 * DAY)
    assert order.product.name == "giga"
    [purchase] = LedgerEntry.objects.filter(order=order)
    assert (purchase.reason, purchase.bytes, purchase.author) == ("service_purchase", 100, "shop")
    assert purchase.created_at == LATER
    assert published(order) is None
    assert set(Alert.objects.filter(order=order).values_list("threshold", "created_at")) == {
        (80, LATER),
        (100, LATER),
    }


def test_an_unmetered_order_has_a_purchase_entry_of_zero_bytes(alice: User) -> None:
    [purchase] = LedgerEntry.objects.filter(order=buy(alice, limit_bytes=None))
    assert (purchase.bytes, purchase.author) == (0, "fonproxy")


def test_an_order_that_is_bought_after_its_end_is_closed_and_published(alice: User) -> None:
    order = buy(alice, expires_at=START)
    assert entries(order) == [("adjustment", -100, "fonproxy", "end of period 1", None, LATER)]
    assert stored(order, "period_closed_at") == (LATER,)
    assert published(order) == ("expired", LATER)


def test_an_order_bought_with_zero_bytes_is_published_as_exhausted(alice: User) -> None:
    assert published(buy(alice, limit_bytes=0)) == ("exhausted", LATER)


def test_an_order_that_would_end_before_it_begins_is_refused(alice: User, order: Order) -> None:
    past = START - DAY
    attempts: list[Callable[[], Order]] = [
        lambda: buy(alice, expires_at=past),
        lambda: change(order, LATER, expires_at=past, name="New"),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidInput, match="before it begins") as refusal:
            attempt()
        assert list(refusal.value.errors) == [FieldError("expiresAt", "Is before startsAt.")]
    assert stored(order, "name", "expires_at") == ("Order", START + 30 * DAY)
    assert Order.objects.count() == 1


@pytest.mark.parametrize(
    ("reason", "amount"), [(LedgerReason.TOP_UP, 5), (LedgerReason.REFUND, 6), (LedgerReason.ADJUSTMENT, -7)]
)
def test_a_credit_is_posted_as_requested_and_changes_the_limit(order: Order, reason: LedgerReason, amount: int) -> None:
    entry, is_new = services.credit(order, reason, amount, reference="c1", author="shop", now=LATER, note="because")
    assert is_new
    assert entries(order) == [(reason.value, amount, "shop", "because", "c1", LATER)]
    assert stored(order, "added_bytes", "limit_bytes") == (amount, 100 + amount)
    assert services.credit(order, reason, amount, reference="c1", author="shop", now=LATER) == (entry, False)
    assert stored(order, "added_bytes") == (amount,)


def test_an_exhausted_order_is_published_as_active_when_it_is_credited(order: Order) -> None:
    services.credit(order, LedgerReason.ADJUSTMENT, -100, reference=None, author="shop", now=LATER)
    assert published(order) == ("exhausted", LATER)
    services.credit(order, LedgerReason.TOP_UP, 1, reference=None, author="shop", now=LATER + DAY)
    assert published(order) == ("active", LATER + DAY)


def test_an_unmetered_or_expired_order_takes_no_credit(order: Order, unmetered: Order) -> None:
    services.expire(order, LATER)
    for each, message in ((unmetered, "is unmetered"), (order, "has expired")):
        before = entries(each)
        with pytest.raises(Conflict, match=message):
            services.credit(each, LedgerReason.TOP_UP, 5, reference=None, author="shop", now=LATER)
        assert entries(each) == before


@pytest.mark.parametrize(
    ("amount", "message", "fault"),
    [(-101, "cannot fall below zero", "Is too low."), (2**53 - 100, f"cannot exceed {2**53 - 1}", "Is too high.")],
)
def test_a_credit_that_would_leave_the_range_of_limits_is_refused(
    order: Order, amount: int, message: str, fault: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as refusal:
        services.credit(order, LedgerReason.ADJUSTMENT, amount, reference=None, author="shop", now=LATER)
    assert list(refusal.value.errors) == [FieldError("bytes", fault)]
    assert entries(order) == []


@pytest.mark.parametrize("amount", [-100, 2**53 - 101])
def test_a_credit_may_reach_the_bounds_of_a_limit(order: Order, amount: int) -> None:
    services.credit(order, LedgerReason.ADJUSTMENT, amount, reference=None, author="shop", now=LATER)
    assert stored(order, "limit_bytes") == (100 + amount,)


def test_a_renewal_withdraws_the_remaining_bytes_and_begins_a_period(order: Order) -> None:
    services.credit(order, LedgerReason.TOP_UP, 5, reference=None, author="shop", now=START)
    end = LATER + 40 * DAY
    purchase, is_new = services.renew(
        order, reference="n1", author="shop", now=LATER, amount=70, expires_at=end, note="monthly"
    )
    assert is_new
    assert entries(order)[1:] == [
        ("adjustment", -105, "fonproxy", "end of period 1", None, LATER),
        ("service_purchase", 70, "shop", "monthly", "n1", LATER),
    ]
    assert stored(order, "traffic_limit_bytes", "added_bytes", "period_number", "period_started_at", "expires_at") == (
        70,
        0,
        2,
        LATER,
        end,
    )
    assert services.renew(order, reference="n1", author="shop", now=LATER, amount=70) == (purchase, False)
    assert stored(order, "period_number") == (2,)


def test_a_renewal_keeps_the_limit_and_the_end_by_default(order: Order) -> None:
    purchase, _ = services.renew(order, reference=None, author="shop", now=LATER)
    assert purchase.bytes == 100
    assert stored(order, "traffic_limit_bytes", "expires_at") == (100, START + 30 * DAY)


def test_renewing_an_unmetered_order_without_an_end_posts_a_purchase_of_zero_bytes(unmetered: Order) -> None:
    purchase, _ = services.renew(unmetered, reference=None, author="shop", now=LATER)
    assert purchase.bytes == 0
    assert stored(unmetered, "traffic_limit_bytes", "expires_at", "period_number") == (None, None, 2)
    assert len(entries(unmetered)) == 1


def test_a_renewal_does_not_reverse_the_usage_of_an_unmetered_order(unmetered: Order) -> None:
    LedgerEntry.objects.create(
        order=unmetered, reason=LedgerReason.USAGE, bytes=-30, requests=1, period_date=START.date(),
        usage_day=START.date(), created_at=START, updated_at=START,
    )  # fmt: skip
    services.renew(unmetered, reference=None, author="shop", now=LATER)
    assert [reason for reason, *_ in entries(unmetered)] == ["usage", "service_purchase"]
    assert stored(unmetered, "used_before_period") == (30,)
    services.renew(unmetered, reference=None, author="shop", now=LATER, amount=50)
    assert [(reason, size) for reason, size, *_ in entries(unmetered)[2:]] == [
        ("adjustment", 30),
        ("service_purchase", 50),
    ]


def test_an_expired_order_is_renewed_only_until_a_later_time(order: Order) -> None:
    services.expire(order, LATER)
    assert published(order) == ("expired", LATER)
    with pytest.raises(Conflict, match="expiresAt is required"):
        services.renew(order, reference=None, author="shop", now=LATER + DAY)
    services.renew(order, reference=None, author="shop", now=LATER + DAY, expires_at=LATER + 9 * DAY)
    assert stored(order, "period_closed_at", "expires_at") == (None, LATER + 9 * DAY)
    assert published(order) == ("active", LATER + DAY)


def test_an_order_is_not_renewed_until_before_it_begins(alice: User) -> None:
    order = buy(alice, started_at=LATER + 9 * DAY)
    with pytest.raises(InvalidInput, match="before it begins"):
        services.renew(order, reference=None, author="shop", now=LATER, expires_at=LATER + 8 * DAY)
    assert entries(order) == []


@pytest.mark.parametrize(("amount", "fault"), [(-1, "Is too low."), (2**53, "Is too high.")])
def test_a_renewal_with_a_limit_out_of_range_is_refused(order: Order, amount: int, fault: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        services.renew(order, reference=None, author="shop", now=LATER, amount=amount)
    assert list(refusal.value.errors) == [FieldError("bytes", fault)]
    assert entries(order) == []


def test_an_expired_order_renewed_at_a_boundary_renews_automatically_at_the_next(alice: User) -> None:
    boundary = datetime(2026, 3, 5, tzinfo=UTC)
    order = buy(alice, period=RecurringPeriod(Every.DAY, START.date()), expires_at=boundary, now=boundary - DAY / 2)
    assert stored(order, "renews_at") == (boundary,)
    services.renew(order, reference=None, author="shop", now=boundary, expires_at=boundary + 9 * DAY)
    assert stored(order, "renews_at", "period_number") == (boundary + DAY, 2)


def test_an_order_can_be_renewed_at_the_moment_of_its_end(order: Order) -> None:
    services.renew(order, reference=None, author="shop", now=START + 30 * DAY)
    assert stored(order, "period_number") == (2,)


def test_a_suspension_is_stored_and_published_and_a_resumption_undoes_it(order: Order) -> None:
    assert services.suspend(order, LATER).suspended_at == LATER
    assert stored(order, "suspended_at") == (LATER,)
    assert published(order) == ("suspended", LATER)
    services.suspend(order, LATER + DAY)
    assert stored(order, "suspended_at") == (LATER,)
    assert services.resume(order, LATER + DAY).suspended_at is None
    assert stored(order, "suspended_at") == (None,)
    assert published(order) == ("active", LATER + DAY)


def test_a_planned_suspension_is_brought_forward(order: Order) -> None:
    Order.objects.filter(pk=order.pk).update(suspended_at=LATER + DAY)
    services.suspend(order, LATER)
    assert stored(order, "suspended_at") == (LATER,)


def test_an_order_ends_once_and_its_remaining_bytes_are_withdrawn(order: Order) -> None:
    for now in (LATER, LATER + DAY):
        assert services.expire(order, now).expires_at == LATER
    assert entries(order) == [("adjustment", -100, "fonproxy", "end of period 1", None, LATER)]
    assert LedgerEntry.objects.filter(order=order, closes_period=True).count() == 1
    assert stored(order, "expires_at", "period_closed_at") == (LATER, LATER)
    assert published(order) == ("expired", LATER)


def test_an_unmetered_order_ends_without_an_entry(unmetered: Order) -> None:
    services.expire(unmetered, LATER)
    assert entries(unmetered) == []
    assert stored(unmetered, "expires_at", "period_closed_at") == (LATER, LATER)


def test_orders_whose_end_has_come_are_closed_and_published_once(
    unmetered: Order, order: Order, alice: User, make_order: Callable[..., Order]
) -> None:
    end = START + 30 * DAY
    open_ended = make_order(alice, limit=100, started_at=START, now=START)
    assert services.close_expired(end - timedelta(seconds=1)) == 0
    assert services.close_expired(end) == 1
    assert entries(order) == [("adjustment", -100, "fonproxy", "end of period 1", None, end)]
    assert stored(order, "period_closed_at") == (end,)
    assert published(order) == ("expired", end)
    assert services.close_expired(end + DAY) == 0
    for each in (unmetered, open_ended):
        assert entries(each) == []
        assert stored(each, "period_closed_at") == (None,)
        assert published(each) is None


def test_changing_an_order_to_its_present_values_changes_nothing(order: Order) -> None:
    change(order, LATER)
    assert entries(order) == []
    assert stored(order, "period_number", "period_closed_at") == (1, None)
    assert published(order) is None


def test_a_change_stores_name_begin_and_end(order: Order) -> None:
    begin, end = START - DAY, START + 9 * DAY
    changed = change(order, LATER, name="New", started_at=begin, expires_at=end)
    assert (changed.name, changed.started_at, changed.expires_at) == ("New", begin, end)
    assert stored(order, "name", "started_at", "expires_at") == ("New", begin, end)


def test_a_changed_limit_is_adjusted_by_the_difference(order: Order) -> None:
    services.credit(order, LedgerReason.TOP_UP, 5, reference=None, author="shop", now=START)
    change(order, LATER, limit_bytes=30)
    assert entries(order)[1:] == [("adjustment", -70, "shop", "limit changed from 100 to 30 bytes", None, LATER)]
    assert stored(order, "traffic_limit_bytes", "added_bytes", "period_number") == (30, 5, 1)


def test_a_changed_limit_with_earlier_credits_stays_within_bounds(order: Order) -> None:
    services.credit(order, LedgerReason.ADJUSTMENT, -40, reference=None, author="shop", now=START)
    with pytest.raises(InvalidInput, match="below zero") as refusal:
        change(order, LATER, limit_bytes=39)
    assert list(refusal.value.errors) == [FieldError("trafficLimitBytes", "Is too low.")]
    change(order, LATER, limit_bytes=40)
    assert stored(order, "limit_bytes") == (0,)
    assert published(order) == ("exhausted", LATER)


def test_a_period_that_is_given_and_a_start_that_moves_set_the_next_renewal(order: Order) -> None:
    change(order, LATER, period=RecurringPeriod(Every.DAY, START.date()))
    assert stored(order, "renews_at") == (datetime(2026, 3, 4, tzinfo=UTC),)
    change(order, LATER, started_at=datetime(2026, 3, 7, 9, tzinfo=UTC))
    assert stored(order, "renews_at") == (datetime(2026, 3, 8, tzinfo=UTC),)


def test_a_change_of_zone_schedules_a_check_of_the_orders_and_logins_limits(order: Order, unmetered: Order) -> None:
    set_logins(order, "limited", "free")
    set_logins(unmetered, "other")
    ProxyUser.objects.exclude(login="free").update(day_limit_bytes=5, limits_due_at=LATER)
    change(order, LATER)
    assert due("limited", "free", "other") == [LATER, None, LATER]
    change(order, LATER, zone="Asia/Tokyo")
    assert due("limited", "free", "other") == [AT_ONCE, None, LATER]
    assert stored(order, "limits_due_at") == (AT_ONCE,)


def due(*logins: str) -> list[datetime | None]:
    return [ProxyUser.objects.get(login=login).limits_due_at for login in logins]


def test_switching_between_metered_and_unmetered_begins_a_period(order: Order) -> None:
    change(order, LATER, limit_bytes=None)
    assert entries(order) == [
        ("adjustment", -100, "fonproxy", "end of period 1", None, LATER),
        ("service_purchase", 0, "shop", "limit changed", None, LATER),
    ]
    assert stored(order, "traffic_limit_bytes", "period_number", "period_started_at") == (None, 2, LATER)
    change(order, LATER + DAY, limit_bytes=70)
    assert entries(order)[2:] == [("service_purchase", 70, "shop", "limit changed", None, LATER + DAY)]
    assert stored(order, "traffic_limit_bytes", "period_number") == (70, 3)


def test_an_end_in_the_past_closes_the_order_and_an_extension_returns_its_bytes(order: Order) -> None:
    change(order, LATER, expires_at=LATER)
    assert entries(order) == [("adjustment", -100, "fonproxy", "end of period 1", None, LATER)]
    assert published(order) == ("expired", LATER)
    now = LATER + DAY
    change(order, now, expires_at=now + DAY)
    assert entries(order)[1:] == [("adjustment", 100, "fonproxy", "extended", None, now)]
    assert LedgerEntry.objects.filter(order=order, closes_period=True).count() == 2
    assert stored(order, "period_closed_at", "period_number") == (None, 1)
    assert published(order) == ("active", now)


def test_an_order_that_has_ended_may_lose_its_end(order: Order) -> None:
    services.expire(order, LATER)
    change(order, LATER + DAY, expires_at=None)
    assert stored(order, "period_closed_at", "expires_at") == (None, None)
    assert entries(order)[-1][1] == 100


def test_an_order_whose_end_is_now_stays_closed(order: Order) -> None:
    services.expire(order, LATER)
    now = LATER + DAY
    change(order, now, expires_at=now)
    assert stored(order, "period_closed_at") == (LATER,)
    assert len(entries(order)) == 1


def test_a_limit_change_of_an_ended_order_is_reversed_at_once(order: Order) -> None:
    services.expire(order, LATER)
    now = LATER + DAY
    change(order, now, limit_bytes=150)
    assert entries(order)[1:] == [
        ("adjustment", 50, "shop", "limit changed from 100 to 150 bytes", None, now),
        ("adjustment", -50, "fonproxy", "end of period 1", None, now),
    ]


def set_logins(order: Order, *logins: str, now: datetime = LATER) -> None:
    services.set_logins(order, {login: {} for login in logins}, now)


def logins(order: Order) -> list[str]:
    return sorted(ProxyUser.objects.filter(order=order).values_list("login", flat=True))


def test_an_order_has_exactly_the_logins_that_were_set(order: Order, unmetered: Order) -> None:
    set_logins(unmetered, "u1")
    set_logins(order, "b", "a")
    assert logins(order) == ["a", "b"]
    kept = ProxyUser.objects.get(login="b").pk
    set_logins(order, "b", "c")
    assert logins(order) == ["b", "c"]
    assert ProxyUser.objects.get(login="b").pk == kept
    assert logins(unmetered) == ["u1"]


def test_a_login_of_another_order_is_refused_and_the_first_is_named(order: Order, unmetered: Order) -> None:
    set_logins(unmetered, "x", "y", "z")
    with pytest.raises(Conflict, match="'x' belongs to another order"):
        set_logins(order, "z", "a", "y", "x")
    assert logins(order) == []


def test_a_login_that_joins_a_suspended_order_is_published(order: Order) -> None:
    services.suspend(order, LATER)
    set_logins(order, "a", now=LATER + DAY)
    assert published(order) == ("suspended", LATER + DAY)


def test_an_order_erased_in_the_meantime_is_not_found(order: Order) -> None:
    with pytest.raises(NotFound):
        services.suspend(Order(pk=order.pk + 1), LATER)
    assert stored(order, "suspended_at") == (None,)
