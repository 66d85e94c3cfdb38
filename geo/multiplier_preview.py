"""The effect of a change of a multiplier on the public counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from geo import services
from geo.multipliers import ANY_COUNTRY, Factors, Terms, factor_for, in_force, public_count, ruling


class MultiplierState(Enum):
    IN_FORCE = auto()
    PLANNED = auto()
    REPLACED = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Effect:
    """Sums over the countries to which a multiplier applies, now or at its start; ``hidden`` ones have proxies."""

    state: MultiplierState
    raw: int
    public: int
    hidden: list[str]


def effects_of(rows: list[Terms], now: datetime) -> list[Effect]:
    """The effect of each multiplier, in the same order."""
    cache = services.counts_cache(now)
    raw = services.default_service_only(cache.raw)
    return [_effect_of(terms, cache.terms, raw, now) for terms in rows]


def _effect_of(terms: Terms, stored: list[Terms], raw: dict[str, dict[str, dict[str, int]]], now: datetime) -> Effect:
    rulers = ruling(stored, max(now, terms.starts_at or now))
    kind, pool, _ = terms.subject
    counts = {
        country: count
        for country, count in raw.get(kind, {}).get(pool, {}).items()
        if rulers.get((kind, pool, country), rulers.get((kind, pool, ANY_COUNTRY))) == terms
    }
    public = {country: public_count(count, terms.factor) for country, count in counts.items()}
    hidden = sorted(country for country, count in counts.items() if count > 0 and not public[country])
    return Effect(_state(terms, rulers, now), sum(counts.values()), sum(public.values()), hidden)


def _state(terms: Terms, rulers: dict[tuple[str, str, str], Terms], now: datetime) -> MultiplierState:
    if terms.ends_at is not None and terms.ends_at <= now:
        return MultiplierState.OVER
    if terms.starts_at is not None and terms.starts_at > now:
        return MultiplierState.PLANNED
    return MultiplierState.IN_FORCE if rulers.get(terms.subject) == terms else MultiplierState.REPLACED


@dataclass(frozen=True, slots=True)
class CountryEffect:
    """A country whose public count would change, by the default service of its type."""

    country: str
    raw: int
    now: int
    afterwards: int

    @property
    def is_hidden(self) -> bool:
        return self.raw > 0 and self.afterwards == 0

    @property
    def texts(self) -> tuple[str, str, str]:
        return f"{self.raw:,}", f"{self.now:,}", f"{self.afterwards:,}"


@dataclass(frozen=True, slots=True)
class Preview:
    """Public counts without and with the change, at ``at``, the time when the multiplier takes or took effect."""

    before: Terms | None
    after: Terms | None
    at: datetime
    countries: list[CountryEffect]

    @property
    def terms(self) -> Terms:
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def together(self) -> CountryEffect:
        raw, now, afterwards = (
            sum(getattr(effect, name) for effect in self.countries) for name in ("raw", "now", "afterwards")
        )
        return CountryEffect("", raw, now, afterwards)


def preview(before: Terms | None, after: Terms | None, now: datetime) -> Preview:
    """``before`` is the stored multiplier, None for a new one; ``after`` is None for a deletion."""
    starts = [each.starts_at for each in (after or before,) if each is not None and each.starts_at is not None]
    at = max([now, *starts])
    cache = services.counts_cache(now)
    kept = list(cache.terms)
    if before is not None and before in kept:
        kept.remove(before)
    factors = in_force(cache.terms, at), in_force([*kept, *([after] if after else [])], at)
    raw = services.default_service_only(cache.raw)
    pools = dict.fromkeys(each.subject[:2] for each in (before, after) if each is not None)
    effects = [
        _effect(country, count, kind, pool, *factors)
        for kind, pool in pools
        for country, count in sorted(raw.get(kind, {}).get(pool, {}).items())
    ]
    return Preview(before, after, at, [effect for effect in effects if effect.now != effect.afterwards])


def _effect(country: str, raw: int, kind: str, pool: str, now: Factors, afterwards: Factors) -> CountryEffect:
    counts = (public_count(raw, factor_for(factors, kind, pool, country)) for factors in (now, afterwards))
    return CountryEffect(country, raw, *counts)
