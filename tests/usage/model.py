"""An order's account in plain Python, with which the real one is compared step by step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime


@dataclass
class Account:
    """Everything that can be said of one order, kept the simple way."""

    limit: int | None
    credits: list[tuple[str, int]] = field(default_factory=list)
    carried: Counter[date] = field(default_factory=Counter)
    expires_at: datetime | None = None
    suspended: bool = False
    closed: bool = False
    taken_back: int = 0

    def __post_init__(self) -> None:
        self.credits.append(("service_purchase", self.limit or 0))

    @property
    def balance(self) -> int:
        return sum(amount for _, amount in self.credits) - self.carried.total()

    def carry(self, day: date, size: int) -> None:
        self.carried[day] += size

    def add(self, reason: str, amount: int) -> None:
        assert self.limit is not None
        self.limit += amount
        self.credits.append((reason, amount))

    def set_limit(self, limit: int) -> None:
        assert self.limit is not None
        if limit != self.limit:
            self.add("adjustment", limit - self.limit)
        if self.closed:
            self._take_back()

    def renew(self, amount: int, expires_at: datetime) -> None:
        self._take_back()
        self.limit, self.expires_at, self.closed, self.taken_back = amount, expires_at, False, 0
        self.credits.append(("service_purchase", amount))

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
