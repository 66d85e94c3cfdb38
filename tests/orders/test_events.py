"""Order events reach the provider's own systems: once each, and only if the change was committed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts import erasure
from accounts.audit_trail import Actor
from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import enforcement, events, renewals, webhooks
from orders import services as order_services
from orders.models import CutOff, EventDelivery, EventType, LedgerReason, Order, ProviderEvent, WebhookEndpoint
from orders.periods import Every, RecurringPeriod
from tests.usage.helpers import carry_and_post

DAY = timedelta(days=1)
GB = 2**30
START = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - 10 * DAY
State = CutOff.State


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    User.objects.filter(pk=alice.pk).update(external_id="c-1")
    alice.refresh_from_db()
    return make_order(alice, limit=10 * GB, started_at=START, now=START)


@pytest.fixture
def endpoint(db: None) -> WebhookEndpoint:
    return webhooks.create(url="https://billing.example/hook", description="", event_types=[], now=START)


def told() -> list[str]:
    return [event.type for event in ProviderEvent.objects.order_by("occurred_at", "type")]


def test_an_order_s_life_is_reported_in_events(order: Order, endpoint: WebhookEndpoint) -> None:
    carry_and_post(order, START, 8 * GB - 1)
    assert told() == []
    carry_and_post(order, START, 1, START)
    assert told() == ["order.near_limit"]
    for minute in range(1, 4):
        carry_and_post(order, START, GB, START + timedelta(minutes=minute))
    assert told() == ["order.near_limit", "order.exhausted"]
    later = START + timedelta(hours=1)
    order_services.credit(order, LedgerReason.TOP_UP, 10 * GB, reference="invoice-1", author="shop", now=later)
    order_services.credit(order, LedgerReason.TOP_UP, 10 * GB, reference="invoice-1", author="shop", now=later)
    order_services.suspend(order, later + timedelta(minutes=1))
    order_services.suspend(order, later + timedelta(minutes=2))
    order_services.resume(order, later + timedelta(minutes=3))
    order_services.renew(order, reference="invoice-2", author="shop", now=later + timedelta(minutes=4))
    order_services.expire(order, later + timedelta(minutes=5))
    order_services.close_expired(later + timedelta(minutes=6))
    assert told()[2:] == ["order.topped_up", "order.suspended", "order.resumed", "order.renewed", "order.expired"]
    topped_up = ProviderEvent.objects.get(type=EventType.TOPPED_UP)
    assert topped_up.data == {
        "externalId": order.external_id,
        "id": order.published_id,
        "user": "c-1",
        "limitBytes": 20 * GB,
        "bytesLeft": 9 * GB,
        "periodStartedAt": START.isoformat(),
        "expiresAt": None,
        "bytes": 10 * GB,
        "reference": "invoice-1",
    }
    renewed = ProviderEvent.objects.get(type=EventType.RENEWED)
    assert (renewed.data["bytes"], renewed.data["reference"]) == (10 * GB, "invoice-2")
    assert EventDelivery.objects.count() == ProviderEvent.objects.count() == 7


def test_a_rolled_back_change_has_no_event(order: Order, endpoint: WebhookEndpoint) -> None:
    with transaction.atomic():
        order_services.suspend(order, START)
        transaction.set_rollback(True)
    assert told() == []


def test_near_limit_is_sent_again_for_another_limit_and_another_period(order: Order, endpoint: WebhookEndpoint) -> None:
    carry_and_post(order, START, 8 * GB)
    carry_and_post(order, START, 1)
    order_services.credit(order, LedgerReason.TOP_UP, 10 * GB, reference="t", author="shop", now=START)
    carry_and_post(order, START, 7 * GB)
    assert told().count("order.near_limit") == 1
    carry_and_post(order, START, 2 * GB)
    assert told().count("order.near_limit") == 2
    order_services.renew(order, reference="r", author="shop", now=START + DAY)
    carry_and_post(order, START + DAY, 9 * GB)
    assert told().count("order.near_limit") == 3


def test_a_recurring_renewal_has_an_event_with_the_reference_of_its_boundary(
    alice: User, make_order: Callable[..., Order], endpoint: WebhookEndpoint, clean_engine: Client
) -> None:
    period = RecurringPeriod(Every.DAY, START.date(), "UTC", False)
    make_order(alice, limit=GB, started_at=START, now=START, period=period)
    renewals.renew_due(START + 2 * DAY)
    renewed = ProviderEvent.objects.filter(type=EventType.RENEWED)
    days = [START.date() + DAY, START.date() + 2 * DAY]
    assert {event.data["reference"] for event in renewed} == {f"period-{day}" for day in days}


def test_expiring_is_sent_once_and_again_when_the_end_moves(order: Order, endpoint: WebhookEndpoint) -> None:
    Order.objects.update(expires_at=START + 10 * DAY)
    assert events.record_expiring(START + 7 * DAY - timedelta(seconds=1)) == 0
    assert [events.record_expiring(START + 7 * DAY) for _ in range(3)] == [1, 0, 0]
    Order.objects.update(expires_at=START + 30 * DAY)
    assert events.record_expiring(START + 9 * DAY) == 0
    assert [events.record_expiring(START + 28 * DAY) for _ in range(2)] == [1, 0]
    assert events.record_expiring(START + 31 * DAY) == 0
    assert told() == ["order.expiring"] * 2


def test_an_erased_customer_leaves_one_event_that_names_ids_only(
    order: Order, alice: User, endpoint: WebhookEndpoint
) -> None:
    order_services.suspend(order, START)
    erased = erasure.erase(alice, START + DAY, Actor())
    assert erased["provider_events"] >= 1
    event = ProviderEvent.objects.get()
    assert (event.type, set(event.data), event.data["externalId"]) == ("customer.erased", {"externalId", "id"}, "c-1")
    assert event.deliveries.count() == 1


def test_an_endpoint_gets_only_its_event_types(order: Order, endpoint: WebhookEndpoint) -> None:
    some = webhooks.create(url="https://crm.example/", description="", event_types=[EventType.RESUMED], now=START)
    off = webhooks.create(url="https://off.example/", description="", event_types=[], now=START)
    webhooks.change(off, {"is_enabled": False}, START)
    order_services.suspend(order, START)
    order_services.resume(order, START + DAY)
    assert [row.event.type for row in some.deliveries.all()] == ["order.resumed"]
    assert sorted(row.event.type for row in endpoint.deliveries.all()) == ["order.resumed", "order.suspended"]
    assert not off.deliveries.exists()


def test_deleting_an_endpoint_concurrently_fails_no_order(
    order: Order, endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_endpoints", lambda kind: [endpoint])
    WebhookEndpoint.objects.all().delete()
    order_services.suspend(order, START)
    connection.check_constraints()
    row = EventDelivery.objects.get()
    assert not webhooks.attempt(row.pk)
    webhooks.forget_old(START)
    assert not EventDelivery.objects.exists()


def test_without_an_endpoint_no_event_is_stored(order: Order) -> None:
    order_services.suspend(order, START)
    assert told() == []
    assert events.record_expiring(START) == 0


@given(st.lists(st.sampled_from(list(State)), min_size=2))
def test_transitions_report_every_stop_and_every_end_of_a_suspension(states: list[State]) -> None:
    for old, new in pairwise(states):
        found = events.transitions(old, new)
        assert (f"order.{new}" in found) == (old != new and new != State.ACTIVE)
        assert (EventType.RESUMED in found) == (old == State.SUSPENDED and new in (State.ACTIVE, State.EXHAUSTED))


def test_publishing_again_sends_no_event(order: Order, endpoint: WebhookEndpoint) -> None:
    order_services.suspend(order, START)
    order.refresh_from_db()
    enforcement.publish([order], START, force=True)
    assert told() == ["order.suspended"]


def test_events_are_forgotten_after_thirty_days(order: Order, endpoint: WebhookEndpoint) -> None:
    order_services.suspend(order, START)
    assert webhooks.forget_old(START + 30 * DAY) == 0
    assert webhooks.forget_old(START + 31 * DAY) == 1
    assert not EventDelivery.objects.exists()
