"""The usage of orders and logins. The app that reads the traffic tables registers the functions that read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from orders.limits import Used
from orders.models import ProxyUser


class UsageReader(Protocol):
    def used_before(self, orders: Mapping[int, int], at: datetime) -> Mapping[int, int]:
        """Total bytes used before that instant by order, where known; takes the orders with their users."""

    def used_by(self, users: Collection[ProxyUser], now: datetime) -> Mapping[int, Used]:
        """The usage of each proxy user in the day and month of its order, and in total. Raises EngineError."""


_readers: list[UsageReader] = []


def register(reader: UsageReader) -> None:
    _readers.append(reader)


def used_before(orders: Mapping[int, int], at: datetime) -> dict[int, int]:
    """Total bytes of each order before that instant. Orders whose usage is not known now are missing."""
    return {order_id: size for reader in _readers for order_id, size in reader.used_before(orders, at).items()}


def used_by(users: Collection[ProxyUser], now: datetime) -> dict[int, Used]:
    """The usage of each proxy user in the current day and month of its order, and in total. Raises EngineError."""
    return {pk: used for reader in _readers for pk, used in reader.used_by(users, now).items()}
