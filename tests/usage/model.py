"""An order's account in plain Python, with which the real one is compared step by step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime


@dataclass
class OrderModel:
    """The state of one order, kept the simple way."""

    limit: int | None
    credits: list[tuple[str, int]] = field(default_factory=list)
    carried: Counter[date] = field(default_factory=Counter)
    expires_at: datetime | None = None
    suspended: bool = False
    closed: bool = False
    taken_back: int = 0
    rollover: bool = False
    bought: int = 0
    traffic: list[tuple[datetime, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bought = self.limit or 0
        self.credits.append(("service_purchase", self.limit or 0))

    @property
    def balance(self) -> int:
        return sum(amount for _, amount in self.credits) - self.carried.total()

    def carry(self, day: date, size: int) -> None:
        self.carried[day] += size

    def carry_at(self, at: datetime, size: int) -> None:
        self.traffic.append((at, size))
        self.carry(at.astimezone(UTC).date(), size)

    def add(self, reason: str, amount: int) -> None:
        assert self.limit is not None
        self.limit += amount
        self.credits.append((reason, amount))

    def set_limit(self, limit: int) -> None:
        assert self.limit is not None
        if limit != self.limit:
            self.bought += limit - self.limit
            self.add("adjustment", limit - self.limit)
        if self.closed:
            self._take_back()

    def renew(self, amount: int, expires_at: datetime | None) -> None:
        self._take_back()
        self.limit, self.expires_at, self.closed, self.taken_back = amount, expires_at, False, 0
        self.bought = amount
        self.credits.append(("service_purchase", amount))

    def recur(self, boundary: datetime) -> None:
        """Renews automatically: what came after the boundary, by its own time, counts in the new period."""
        left = self.balance + sum(size for at, size in self.traffic if at >= boundary)
        if left:
            self.credits.append(("adjustment", -left))
        self.credits.append(("service_purchase", self.bought))
        self.limit, self.taken_back = self.bought, 0
        if self.rollover and left > 0:
            self.add("adjustment", left)

    def pass_time(self, now: datetime) -> None:
        if not self.closed and self.expires_at is not None and self.expires_at <= now:
            self._take_back()
            self.closed = True

    def extend(self, expires_at: datetime) -> None:
        self.expires_at = expires_at
        if self.closed:
            if self.taken_back:
                self.credits.append(("adjustment", -self.taken_back))
            self.closed, self.taken_back = False, 0

    def _take_back(self) -> None:
        if left := self.balance:
            self.credits.append(("adjustment", -left))
            self.taken_back -= left

    def state(self, now: datetime) -> str:
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        if self.suspended:
            return "suspended"
        return "exhausted" if self.limit is not None and self.balance <= 0 else "active"
