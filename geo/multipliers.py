"""Factors between raw and public counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

ANY_COUNTRY: Final = "*"

Factors = Mapping[tuple[str, str, str], Decimal]
"""(proxy type, pool, country or ``*``) -> factor."""


class Terms(NamedTuple):
    """A multiplier's key, factor and times ``[starts_at, ends_at)``; None is open."""

    proxy_type: str
    pool: str
    country: str
    factor: Decimal
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def subject(self) -> tuple[str, str, str]:
        return self.proxy_type, self.pool, self.country

    @property
    def is_permanent(self) -> bool:
        return self.starts_at is None and self.ends_at is None

    def applies(self, at: datetime) -> bool:
        return (self.starts_at is None or self.starts_at <= at) and (self.ends_at is None or at < self.ends_at)

    def excludes(self, other: Terms) -> bool:
        """Whether two multipliers conflict: both permanent for one country, or with overlapping times."""
        if self.subject != other.subject or self.is_permanent != other.is_permanent:
            return False
        return (self.starts_at is None or other.ends_at is None or self.starts_at < other.ends_at) and (
            other.starts_at is None or self.ends_at is None or other.starts_at < self.ends_at
        )


def ruling(terms: Iterable[Terms], at: datetime) -> dict[tuple[str, str, str], Terms]:
    """The multipliers in force at that instant: a timed one replaces the permanent one of the same country."""
    found = sorted((each for each in terms if each.applies(at)), key=lambda each: not each.is_permanent)
    return {each.subject: each for each in found}


def in_force(terms: Iterable[Terms], at: datetime) -> dict[tuple[str, str, str], Decimal]:
    """The factors at that instant."""
    return {subject: each.factor for subject, each in ruling(terms, at).items()}


def unchanged_around(terms: Iterable[Terms], at: datetime) -> tuple[datetime | None, datetime | None]:
    """The interval around that instant in which no multiplier starts or ends.

    The start is inclusive, the end exclusive; None is open.
    """
    times = [time for each in terms for time in (each.starts_at, each.ends_at) if time is not None]
    return (
        max((time for time in times if time <= at), default=None),
        min((time for time in times if time > at), default=None),
    )


def factor_for(factors: Factors, proxy_type: str, pool: str, country: str) -> Decimal:
    """The country's own factor, else that for all countries of the pool, else 1. Factors do not stack."""
    own = factors.get((proxy_type, pool, country))
    return own if own is not None else factors.get((proxy_type, pool, ANY_COUNTRY), Decimal(1))


def public_count(raw: int, factor: Decimal) -> int:
    """Raw times factor, halves rounded up."""
    return int((raw * factor).quantize(Decimal(1), ROUND_HALF_UP))
