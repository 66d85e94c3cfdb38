"""Deliveries on their own: which are due, who may attempt one, and what an attempt leaves in its row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from smtplib import SMTPException
from typing import Any

import pytest
import time_machine
from django.db import connections

from fonproxy import delivery
from fonproxy.delivery import Undeliverable
from fonproxy.webhooks import DeliveryFailed
from orders.models import EventDelivery, EventType, ProviderEvent, WebhookEndpoint

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def make(db: None) -> Callable[..., EventDelivery]:
    endpoints = {
        owner: WebhookEndpoint.objects.create(url=f"https://{owner}.example/", created_at=NOW) for owner in ("a", "b")
    }

    def make(owner: str = "a", **fields: Any) -> EventDelivery:
        event = ProviderEvent.objects.create(type=EventType.EXPIRED, user_number=1, data={}, occurred_at=NOW)
        given: dict[str, Any] = {"next_attempt_at": NOW} | fields
        return EventDelivery.objects.create(event=event, endpoint=endpoints[owner], **given)

    return make


Make = Callable[..., EventDelivery]


def due(most: int = delivery.MAX_PER_OWNER) -> list[int]:
    return delivery.due(EventDelivery.objects.all(), "endpoint", most)


def test_every_delivery_is_in_one_state_and_counted_there(make: Make) -> None:
    rows = {
        "waiting": [make()],
        "failing": [make(attempts=1), make(attempts=2)],
        "delivered": [make(attempts=1, delivered_at=NOW)],
        "given_up": [make(attempts=14, gave_up_at=NOW), make(gave_up_at=NOW)],
    }
    assert {state: [row.state for row in found] for state, found in rows.items()} == {
        state: [state] * len(found) for state, found in rows.items()
    }
    found = {
        state: set(EventDelivery.objects.filter(condition).values_list("pk", flat=True))
        for state, condition in delivery.STATES.items()
    }
    assert found == {state: {row.pk for row in in_it} for state, in_it in rows.items()}
    assert delivery.by_state(EventDelivery.objects.all()) == {state: len(in_it) for state, in_it in rows.items()}


def test_a_delivery_waits_when_it_is_open_due_and_unclaimed(make: Make) -> None:
    waiting = [make(), make(claimed_until=NOW), make(next_attempt_at=NOW - MINUTE, attempts=3)]
    for fields in (
        {"next_attempt_at": NOW + MOMENT},
        {"claimed_until": NOW + MOMENT},
        {"delivered_at": NOW},
        {"gave_up_at": NOW},
    ):
        make(**fields)
    assert list(delivery.waiting(EventDelivery.objects.order_by("pk"), NOW)) == waiting


def test_a_round_has_the_least_tried_and_longest_due_of_each_owner(make: Make) -> None:
    tried = make(attempts=1, next_attempt_at=NOW - MINUTE)
    late, early, same = make(), make(next_attempt_at=NOW - MOMENT), make()
    of_other = make("b", attempts=2)
    make(next_attempt_at=NOW + MOMENT)
    assert due(1) == [early.pk, of_other.pk]
    assert due() == [early.pk, late.pk, of_other.pk]
    assert due(4) == [early.pk, late.pk, same.pk, tried.pk, of_other.pk]


def test_a_round_has_an_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "ROUND", 2)
    rows = [make(owner) for owner in "aabb"]
    assert due() == [rows[0].pk, rows[1].pk]


# --- several at a time


def test_rounds_run_at_the_same_time_and_deliveries_are_counted() -> None:
    meet = threading.Barrier(4)

    def attempt(number: int) -> bool:
        meet.wait(60)  # two threads of each round are here at once
        return number % 2 == 0

    assert delivery.send_all([[1, 2], [], [3, 4]], attempt, threads=2) == 2
    assert delivery.send_all([[], []], attempt) == 0


def test_a_round_has_no_more_threads_than_requested() -> None:
    threads: set[int] = set()

    def attempt(number: int) -> bool:
        threads.add(threading.get_ident())
        return True

    assert delivery.send_all([[1, 2, 3, 4, 5]], attempt, threads=1) == 5
    assert len(threads) == 1


def test_an_attempt_that_raises_is_logged_and_no_other_suffers(caplog: pytest.LogCaptureFixture) -> None:
    def attempt(number: int) -> bool:
        if number == 1:
            raise RuntimeError("a bug")
        return True

    assert delivery.send_all([[1, 2, 3]], attempt) == 2
    assert "delivery 1 could not be tried" in caplog.text
    assert "a bug" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_thread_leaves_no_connection_open() -> None:
    used: list[Any] = []

    def attempt(number: int) -> bool:
        EventDelivery.objects.count()
        used.append(connections["default"])
        assert used[0].connection is not None
        return True

    assert delivery.send_all([[1]], attempt) == 1
    assert used[0].connection is None


# --- one attempt


def attempt(row: EventDelivery, send: Callable[[EventDelivery, datetime], None]) -> bool:
    return delivery.attempt(EventDelivery.objects.all(), row.pk, send)


def failing(error: Exception) -> Callable[[EventDelivery, datetime], None]:
    def send(row: EventDelivery, now: datetime) -> None:
        raise error

    return send


def arriving(row: EventDelivery, now: datetime) -> None:
    pass


def state(row: EventDelivery) -> dict[str, Any]:
    fields = ("attempts", "next_attempt_at", "claimed_until", "delivered_at", "gave_up_at", "last_error")
    found: dict[str, Any] = EventDelivery.objects.values(*fields).get(pk=row.pk)
    return found


def test_an_attempt_is_counted_and_claimed_before_it_is_made(make: Make) -> None:
    row, other = make(attempts=2, last_error="before"), make()
    seen: list[Any] = []

    def send(row: EventDelivery, now: datetime) -> None:
        seen.extend((now, state(row), attempt(row, arriving)))

    assert attempt(row, send)
    claimed = {
        "attempts": 3, "next_attempt_at": NOW + 2 * MINUTE, "claimed_until": NOW + MINUTE,
        "delivered_at": None, "gave_up_at": None, "last_error": "before",
    }  # fmt: skip
    assert seen == [NOW, claimed, False]
    assert state(row) == claimed | {"claimed_until": None, "delivered_at": NOW, "last_error": ""}
    assert state(other)["attempts"] == 0
    assert not attempt(row, arriving)


@pytest.mark.parametrize(
    ("error", "text", "is_over"),
    [
        (DeliveryFailed("Responded with status 500."), "Responded with status 500.", False),
        (SMTPException("later"), "later", False),
        (OSError("gone"), "gone", False),
        (RuntimeError(), "RuntimeError", False),
        (RuntimeError("x" * 600), "x" * 500, False),
        (Undeliverable("Has no address."), "Has no address.", True),
    ],
)
def test_a_failure_is_kept_and_tried_again_unless_it_never_can_arrive(
    make: Make, error: Exception, text: str, is_over: bool, caplog: pytest.LogCaptureFixture
) -> None:
    row, other = make(), make()
    assert not attempt(row, failing(error))
    assert state(row) == {
        "attempts": 1, "next_attempt_at": NOW + MINUTE / 2, "claimed_until": None,
        "delivered_at": None, "gave_up_at": NOW if is_over else None, "last_error": text,
    }  # fmt: skip
    assert state(other)["last_error"] == ""
    assert f"event delivery {row.pk} failed: {error}" in caplog.text
    [said] = caplog.records
    assert bool(said.exc_info) == isinstance(error, RuntimeError)


@pytest.mark.parametrize(("attempts", "is_over", "error"), [
    (12, False, "no"), (13, True, "no"), (14, True, "The previous attempt did not finish."),
])  # fmt: skip
def test_the_fourteenth_attempt_is_the_last(make: Make, attempts: int, is_over: bool, error: str) -> None:
    row = make(attempts=attempts)
    assert not attempt(row, failing(DeliveryFailed("no")))
    found = state(row)
    assert (found["gave_up_at"], found["last_error"]) == (NOW if is_over else None, error)
    last = make(attempts=13)
    assert attempt(last, arriving)
    assert not attempt(make(attempts=14), arriving)


@pytest.mark.parametrize("fields", [
    {"next_attempt_at": NOW + MOMENT}, {"claimed_until": NOW + MOMENT}, {"delivered_at": NOW}, {"gave_up_at": NOW},
])  # fmt: skip
def test_a_delivery_that_is_not_waiting_is_not_attempted(make: Make, fields: dict[str, datetime]) -> None:
    row = make(**fields)
    before = state(row)
    assert not attempt(row, failing(AssertionError()))
    assert state(row) == before


@pytest.mark.parametrize("fields", [{"attempts": 1}, {"claimed_until": NOW + MINUTE}, {"delivered_at": NOW}])
def test_of_two_workers_that_read_a_row_one_tries_it(make: Make, fields: dict[str, Any]) -> None:
    row = make()
    rows = EventDelivery.objects.all()

    class Late(type(rows)):  # type: ignore[misc]
        """Another worker claims it between the query and the claim."""

        def first(self) -> Any:
            found = super().first()
            EventDelivery.objects.filter(pk=row.pk).update(**fields)
            return found

    late = Late(EventDelivery)
    sent: list[EventDelivery] = []
    assert not delivery.attempt(late, row.pk, lambda row, now: sent.append(row))
    assert sent == []
    assert {name: state(row)[name] for name in fields} == fields


def test_the_requested_delivery_is_tried(make: Make) -> None:
    first, second = make(), make()
    assert attempt(second, arriving)
    assert (state(first)["attempts"], state(second)["attempts"]) == (0, 1)


def test_an_attempt_of_another_number_is_another_one(make: Make) -> None:
    row = make()
    attempt(row, lambda row, now: EventDelivery.objects.filter(pk=row.pk).update(attempts=2))  # type: ignore[arg-type]
    assert (state(row)["delivered_at"], state(row)["claimed_until"]) == (None, NOW + MINUTE)


def test_an_attempt_that_is_no_longer_the_last_changes_nothing(make: Make) -> None:
    """It was sent again in the meantime, and is at its first attempt once more."""
    for end in (arriving, failing(DeliveryFailed("no"))):
        row = make()

        def send(row: EventDelivery, now: datetime, end: Any = end) -> None:
            delivery.send_again(EventDelivery.objects.filter(pk=row.pk), NOW)
            EventDelivery.objects.filter(pk=row.pk).update(attempts=1, claimed_until=NOW + 2 * MINUTE)
            end(row, now)

        attempt(row, send)
        assert state(row) == {
            "attempts": 1, "next_attempt_at": NOW, "claimed_until": NOW + 2 * MINUTE,
            "delivered_at": None, "gave_up_at": None, "last_error": "",
        }  # fmt: skip


def test_pauses_double_from_half_a_minute_to_six_hours() -> None:
    seconds = [delivery.pause_after(attempts).total_seconds() for attempts in (1, 2, 3, 10, 11, 10_000)]
    assert seconds == [30, 60, 120, 15_360, 21_600, 21_600]


def test_send_again_resets_the_chosen_deliveries_and_no_others(make: Make) -> None:
    done = {"attempts": 3, "claimed_until": NOW, "delivered_at": NOW, "gave_up_at": NOW, "last_error": "x"}
    row, other = make(**done), make(**done)
    assert delivery.send_again(EventDelivery.objects.filter(pk=row.pk), NOW + MINUTE) == 1
    assert state(row) == {
        "attempts": 0, "next_attempt_at": NOW + MINUTE, "claimed_until": None,
        "delivered_at": None, "gave_up_at": None, "last_error": "",
    }  # fmt: skip
    assert state(other) == done | {"next_attempt_at": NOW}
