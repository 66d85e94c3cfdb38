"""Raw and public counts, current as of the last committed change of any process."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, TypeVar

from geo import revisions
from geo.loaders import DEFAULT_SERVICES
from geo.loaders.base import Counts
from geo.models import CountSnapshot, Multiplier, Revision
from geo.multipliers import Terms, factor_for, in_force, public_count, unchanged_around

STALE_AFTER: Final = timedelta(minutes=30)
MAX_CACHED_ANSWERS: Final = 512

T = TypeVar("T")


@dataclass
class CountsCache:
    """Counts, multipliers and the factors in force from ``since`` to ``until``, at one revision.

    It also caches data computed from them.
    """

    revision: int
    raw: dict[str, Counts]
    terms: list[Terms]
    factors: dict[tuple[str, str, str], Decimal]
    since: datetime | None
    until: datetime | None
    _made: dict[Hashable, Any] = field(default_factory=dict)

    def covers(self, at: datetime) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    @cached_property
    def public(self) -> dict[str, Counts]:
        """proxy type -> pool -> service -> country -> public count, without types that have no counts."""
        return {
            proxy_type: {
                pool: {
                    service: {
                        country: public_count(raw, factor_for(self.factors, proxy_type, pool, country))
                        for country, raw in sorted(countries.items())
                    }
                    for service, countries in services.items()
                }
                for pool, services in sorted(counts.items())
            }
            for proxy_type, counts in self.raw.items()
            if counts
        }

    def public_of(self, proxy_type: str | None, pool: str | None) -> dict[str, Counts]:
        """Public counts of one type or pool, or of all; empty for unknown ones."""
        return {
            kind: chosen
            for kind, pools in self.public.items()
            if proxy_type in (None, kind)
            and (chosen := {name: services for name, services in pools.items() if pool in (None, name)})
        }

    def get(self, key: Hashable) -> Any:
        """The cached result of ``get_or_make`` for this key; None if there is none."""
        return self._made.get(key)

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of ``make``, computed once per cache."""
        remembered = self._made
        if key in remembered:
            made: T = remembered[key]
            return made
        made = make()
        if len(self._made) >= MAX_CACHED_ANSWERS:
            self._made = {}  # replaced, not cleared: another thread may be reading it
        self._made[key] = made
        return made


_latest: CountsCache | None = None


def counts_cache(now: datetime) -> CountsCache:
    """The cache for this instant; a small query checks whether the one in memory is still valid."""
    global _latest
    revision = revisions.current(Revision.Subject.COUNTS)
    remembered = _latest if revisions.may_be_remembered() else None
    if remembered is None or remembered.revision != revision or not remembered.covers(now):
        terms = [multiplier.terms for multiplier in Multiplier.objects.all()]
        # Rows read after the revision may be newer; the next request then sees a newer revision too.
        remembered = CountsCache(
            revision,
            dict(CountSnapshot.objects.order_by("proxy_type").values_list("proxy_type", "counts")),
            terms,
            in_force(terms, now),
            *unchanged_around(terms, now),
        )
        if revisions.may_be_remembered():
            _latest = remembered
    return remembered


def raw_counts(now: datetime) -> dict[str, Counts]:
    """proxy type -> pool -> service -> country -> raw count."""
    return {proxy_type: counts for proxy_type, counts in counts_cache(now).raw.items() if counts}


def public_counts(now: datetime, proxy_type: str | None = None, pool: str | None = None) -> dict[str, Counts]:
    """The same after the multipliers in force, optionally of one type or pool; empty for unknown ones."""
    return counts_cache(now).public_of(proxy_type, pool)


def default_service_only(counts: dict[str, Counts]) -> dict[str, dict[str, dict[str, int]]]:
    """proxy type -> pool -> country -> count by the type's default service, without empty types."""
    by_default = {
        proxy_type: {
            pool: countries
            for pool, services in pools.items()
            if (countries := services.get(DEFAULT_SERVICES[proxy_type], {}))
        }
        for proxy_type, pools in counts.items()
    }
    return {proxy_type: pools for proxy_type, pools in by_default.items() if pools}


@dataclass(frozen=True, slots=True)
class LoaderState:
    """The state of a proxy type's loader."""

    proxy_type: str
    loaded_at: datetime | None
    failed_at: datetime | None
    last_error: str
    is_stale: bool


def loader_states(now: datetime) -> list[LoaderState]:
    """One per loader: stale when its latest attempt failed, or its counts are older than half an hour."""
    return [state_of(snapshot, now) for snapshot in CountSnapshot.objects.order_by("proxy_type")]


def state_of(snapshot: CountSnapshot, now: datetime) -> LoaderState:
    is_old = snapshot.loaded_at is None or snapshot.loaded_at < now - STALE_AFTER
    is_stale = is_old or snapshot.failed_at is not None
    return LoaderState(snapshot.proxy_type, snapshot.loaded_at, snapshot.failed_at, snapshot.last_error, is_stale)
