"""Raw and public counts, as of the latest committed change in any process."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, TypeVar

from django.db import transaction

from geo import revisions
from geo.loaders import DEFAULT_SERVICES
from geo.loaders.base import Counts
from geo.models import CountSnapshot, Multiplier, Revision
from geo.multipliers import factor_for, public_count

STALE_AFTER: Final = timedelta(minutes=30)
MOST_REMEMBERED: Final = 512

T = TypeVar("T")


@dataclass
class Picture:
    """Counts and factors as they were at one revision; whatever is made of them is remembered with it."""

    revision: int
    raw: dict[str, Counts]
    factors: dict[tuple[str, str, str], Decimal]
    _made: dict[Hashable, Any] = field(default_factory=dict)

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

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` makes, made once while this picture holds."""
        remembered = self._made
        if key in remembered:
            made: T = remembered[key]
            return made
        made = make()
        if len(self._made) >= MOST_REMEMBERED:
            self._made = {}  # not emptied: another thread may be reading it
        self._made[key] = made
        return made


_latest: Picture | None = None


def picture() -> Picture:
    """The latest picture: one small query tells whether the one in memory still holds."""
    global _latest
    revision = revisions.current(Revision.Kind.COUNTS)
    remembered = _latest if revisions.may_be_remembered() else None
    if remembered is None or remembered.revision != revision:
        # What is read after the revision may be newer; then the next request finds a newer revision as well.
        remembered = Picture(
            revision,
            dict(CountSnapshot.objects.order_by("proxy_type").values_list("proxy_type", "counts")),
            {(m.proxy_type, m.pool, m.country): m.factor for m in Multiplier.objects.all()},
        )
        if revisions.may_be_remembered():
            _latest = remembered
    return remembered


def raw_counts() -> dict[str, Counts]:
    """proxy type -> pool -> service -> country -> how many proxies there are, before any multiplier."""
    return {proxy_type: counts for proxy_type, counts in picture().raw.items() if counts}


def public_counts(proxy_type: str | None = None, pool: str | None = None) -> dict[str, Counts]:
    """The same after multipliers; of one type or pool when they are given, empty when those are unknown."""
    return _chosen(picture().public, proxy_type, pool)


def default_service_only(counts: dict[str, Counts]) -> dict[str, dict[str, dict[str, int]]]:
    """proxy type -> pool -> country -> count, by the type's default service; without types it has no counts for."""
    by_default = {
        proxy_type: {
            pool: countries
            for pool, services in pools.items()
            if (countries := services.get(DEFAULT_SERVICES[proxy_type], {}))
        }
        for proxy_type, pools in counts.items()
    }
    return {proxy_type: pools for proxy_type, pools in by_default.items() if pools}


def _chosen(counts: dict[str, Counts], proxy_type: str | None, pool: str | None) -> dict[str, Counts]:
    return {
        kind: chosen
        for kind, pools in counts.items()
        if proxy_type in (None, kind)
        and (chosen := {name: services for name, services in pools.items() if pool in (None, name)})
    }


def save_multiplier(multiplier: Multiplier) -> None:
    with transaction.atomic():
        multiplier.save()
        revisions.move(Revision.Kind.COUNTS)


def delete_multipliers(*multipliers: Multiplier) -> None:
    with transaction.atomic():
        Multiplier.objects.filter(pk__in=[multiplier.pk for multiplier in multipliers]).delete()
        revisions.move(Revision.Kind.COUNTS)


@dataclass(frozen=True, slots=True)
class LoaderState:
    """How the loader of a proxy type has fared."""

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
