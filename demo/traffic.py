"""Two months of traffic as a small provider's gateways would report it.

Pure: the same order and quarter-hour give the same rows on every machine, so seeding can stop anywhere and continue
later. All names and addresses are reserved for examples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any, Final

from fonproxy.timerange import GRAIN, STAMP
from fonproxy.units import GIB

WORKERS: Final = ("demo-1", "demo-2", "demo-3")
ERRORS: Final = (
    ("upstream connect timeout", 8),
    ("target refused connection", 5),
    ("tls handshake failed", 3),
    ("dns lookup failed", 2),
    ("407 proxy authentication required", 2),
)
_SITES: Final = ("shop", "market", "news", "tickets", "travel", "hotels", "jobs", "social", "games", "sport", "weather")
_HOSTS: Final = ("www", "api", "cdn", "m", "img", "static", "search", "login", "video", "maps")


def _cumulative(weights: Sequence[float]) -> list[float]:
    return list(accumulate(weights))


# A few domains have most of the traffic.
DOMAINS: Final = [f"{host}.{site}.example" for host in _HOSTS for site in _SITES]
_DOMAIN_WEIGHTS: Final = _cumulative([1 / (rank + 1) ** 1.1 for rank in range(len(DOMAINS))])


@dataclass(frozen=True)
class Habit:
    """How a proxy login is used: bytes in two months, times of day, countries and error rate."""

    login: str
    bytes_in_all: float
    busiest_hour: int
    weekend: float
    countries: dict[str, float]
    bytes_per_request: int
    error_rate: float
    protocol: str = "http"


HABITS: Final = (
    Habit(
        "alice", 64 * GIB, 14, 0.55, {"US": 42, "DE": 18, "GB": 14, "FR": 9, "BR": 6, "JP": 4, "IN": 3}, 46_000, 0.021
    ),
    Habit("alice-mobile", 7 * GIB, 19, 1.15, {"US": 55, "GB": 20, "DE": 15, "AU": 5}, 28_000, 0.043),
    Habit("bob", 9.2 * GIB, 20, 1.3, {"GB": 60, "US": 25, "CA": 8, "IE": 4}, 39_000, 0.034),
    Habit("carol", 620 * GIB, 3, 1.0, {"DE": 70, "NL": 18, "AT": 8, "CH": 4}, 240_000, 0.006),
    Habit("dave", 210 * GIB, 11, 0.25, {"US": 48, "SG": 16, "JP": 14, "IN": 12, "BR": 8}, 61_000, 0.012, "socks5"),
)
DAYS: Final = 61
_ROWS: Final = 5
# Once a month a site refuses most requests for two hours, for the error chart.
_INCIDENT_DAY: Final = 12
_INCIDENT_HOURS: Final = (13, 14)
_INCIDENT_SITE: Final = ".shop.example"


def rows(start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Rows of the ingest body for the whole quarter-hours of ``[start, end)``, oldest first."""
    quarter = start
    while quarter < end:
        for habit in HABITS:
            yield from _quarter(habit, quarter)
        quarter += GRAIN


def _quarter(habit: Habit, quarter: datetime) -> Iterator[dict[str, Any]]:
    random = Random(f"{habit.login} {quarter.timestamp()}")  # noqa: S311  # repeatable, not secret
    bytes_wanted = habit.bytes_in_all / (DAYS * 96) * _pace(habit, quarter) * random.lognormvariate(-0.06, 0.35)
    domains = set(random.choices(DOMAINS, cum_weights=_DOMAIN_WEIGHTS, k=_ROWS))
    shares = {domain: random.expovariate(1) for domain in sorted(domains)}
    concurrency = 1 + int(bytes_wanted / habit.bytes_per_request / 60 * random.uniform(0.6, 1.4))
    for domain, share in shares.items():
        count = round(bytes_wanted * share / sum(shares.values()) / habit.bytes_per_request)
        if count:
            yield from _rows_of(habit, quarter, domain, count, concurrency, random)


def _pace(habit: Habit, quarter: datetime) -> float:
    """The load of a quarter-hour relative to the average, by hour and weekday."""
    hour = quarter.hour + quarter.minute / 60
    daily = 1 + 0.75 * math.cos((hour - habit.busiest_hour) / 24 * math.tau)
    weekly = habit.weekend if quarter.weekday() >= 5 else 1.0
    return daily * weekly / ((5 + 2 * habit.weekend) / 7)


def _rows_of(
    habit: Habit, quarter: datetime, domain: str, count: int, concurrency: int, random: Random
) -> Iterator[dict[str, Any]]:
    """The rows of one domain: one for successful requests and sometimes one for errors."""
    [country] = random.choices(list(habit.countries), list(habit.countries.values()))
    received = round(count * habit.bytes_per_request * random.uniform(0.7, 1.3))
    row = {
        "ts": f"{quarter + timedelta(minutes=random.randrange(15)):{STAMP}}",
        "proxy_user": habit.login,
        "port": 8080,
        "protocol": habit.protocol,
        "ip_out": f"203.0.113.{random.randrange(1, 255)}",
        "ip_from": f"198.51.100.{random.randrange(1, 20)}",
        "worker": random.choice(WORKERS),
        "domain": domain,
        "country": country,
    }
    failed = _failed(habit, quarter, domain, count, random)
    good = count - failed
    if good:
        yield row | {
            "count": good,
            "bytes_sent": good * random.randrange(500, 2500),
            "bytes_received": received,
            "duration_ms": good * random.randrange(120, 900),
            "max_concurrency": concurrency,
        }
    if failed:
        [error] = random.choices([name for name, _ in ERRORS], [weight for _, weight in ERRORS])
        yield row | {
            "error": error,
            "count": failed,
            "error_count": failed,
            "bytes_sent": failed * 700,
            "duration_ms": failed * random.randrange(2000, 10_000),
            "max_concurrency": 1,
        }


def _failed(habit: Habit, quarter: datetime, domain: str, count: int, random: Random) -> int:
    rate = habit.error_rate
    if quarter.day == _INCIDENT_DAY and quarter.hour in _INCIDENT_HOURS and domain.endswith(_INCIDENT_SITE):
        rate = 0.8
    # An integer with the right mean, without a random draw per request.
    return min(count, int(count * rate * random.uniform(0.5, 1.5) + random.random()))


def first_quarter(now: datetime) -> datetime:
    """The start of two months of traffic that end now, at midnight UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
