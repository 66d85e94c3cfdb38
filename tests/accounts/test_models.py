from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.db.models import ProtectedError

from accounts.models import ApiKey, User
from orders.models import Order, OrderStatus
from tests.accounts.helpers import NOW

SECOND = timedelta(seconds=1)


def test_an_order_without_an_end_is_active() -> None:
    assert Order().status(NOW) is OrderStatus.ACTIVE


def test_an_order_expires_at_exactly_its_end() -> None:
    order = Order(expires_at=NOW)
    assert order.status(NOW - SECOND) is OrderStatus.ACTIVE
    assert order.status(NOW) is OrderStatus.EXPIRED


def test_a_suspended_order_is_suspended_from_then_on() -> None:
    order = Order(suspended_at=NOW)
    assert order.status(NOW - SECOND) is OrderStatus.ACTIVE
    assert order.status(NOW) is OrderStatus.SUSPENDED


def test_an_order_that_is_suspended_and_expired_is_expired() -> None:
    assert Order(suspended_at=NOW - SECOND, expires_at=NOW).status(NOW) is OrderStatus.EXPIRED


@pytest.mark.parametrize(
    ("facts", "active"),
    [
        ({}, True),
        ({"expires_at": NOW + SECOND}, True),
        ({"expires_at": NOW}, False),
        ({"revoked_at": NOW - SECOND}, False),
        ({"revoked_at": NOW - SECOND, "expires_at": NOW + SECOND}, False),
    ],
)
def test_a_key_is_active_until_it_expires_or_is_revoked(facts: dict[str, object], active: bool) -> None:
    assert ApiKey(**facts).is_active(NOW) is active


def test_a_negative_traffic_limit_is_refused_by_the_database(alice: User, make_order: Callable[..., Order]) -> None:
    with pytest.raises(IntegrityError):
        make_order(alice, limit=-1)


def test_a_traffic_limit_of_zero_is_a_limit(alice: User, make_order: Callable[..., Order]) -> None:
    assert make_order(alice, limit=0).traffic_limit_bytes == 0


def test_a_key_without_any_scope_is_refused_by_the_database(alice: User, make_key: Callable[..., str]) -> None:
    with pytest.raises(IntegrityError):
        make_key(alice, scopes=())


def test_a_user_with_orders_cannot_be_deleted(alice: User, make_order: Callable[..., Order]) -> None:
    make_order(alice)
    with pytest.raises(ProtectedError):
        alice.delete()


def test_deleting_a_user_without_orders_deletes_their_keys(alice: User, make_key: Callable[..., str]) -> None:
    make_key(alice)
    alice.delete()
    assert not ApiKey.objects.exists()


def test_the_same_number_has_a_different_published_id_for_every_kind() -> None:
    published = {User(pk=7).published_id, Order(pk=7).published_id, ApiKey(pk=7).published_id}
    assert len(published) == 3
    assert all(len(id_) == 10 for id_ in published)
