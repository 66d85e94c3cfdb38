"""Two weeks of calls of a shop's API, as its servers would report them. Pure and repeatable."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

HOUR: Final = timedelta(hours=1)
CONSUMERS: Final = ("web", "ios", "android", "partner-acme", "")
# Function, method, path, usual microseconds, frequency.
CALLS: Final = (
    ("list_items", "GET", "/v1/items?page={n}", 42_000, 50),
    ("get_item", "GET", "/v1/items/{n}", 18_000, 30),
    ("search", "GET", "/v1/search?q=shoes&token={n}", 120_000, 12),
    ("create_order", "POST", "/v1/orders", 210_000, 5),
    ("cancel_order", "DELETE", "/v1/orders/{n}", 65_000, 1),
)
STATUSES: Final = ((200, 930), (404, 40), (422, 18), (500, 9), (503, 3))


def events(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """The events of the whole hours in between, as the API accepts them."""
    hour = since
    while hour < until:
        yield from _of_hour(hour)
        hour += HOUR


def _of_hour(hour: datetime) -> Iterator[dict[str, Any]]:
    dice = Random(f"events {hour:%Y-%m-%dT%H}")  # noqa: S311  # a demo, not a secret
    busy = 1 + 2 * max(0, 8 - abs(hour.hour - 15))
    for second in sorted(dice.randrange(3600) for _ in range(dice.randrange(2 * busy, 4 * busy))):
        function, method, path, usual, _ = dice.choices(CALLS, [call[-1] for call in CALLS])[0]
        [status] = dice.choices([code for code, _ in STATUSES], [weight for _, weight in STATUSES])
        yield {
            "timestamp": int(hour.timestamp()) + second,
            "consumer_id": dice.choices(CONSUMERS, (40, 25, 20, 10, 5))[0],
            "method": method,
            "url": path.format(n=dice.randrange(1, 40)),
            "function": function,
            "response_us": int(dice.lognormvariate(0, 0.5) * usual * (4 if status >= 500 else 1)),
            "status_code": status,
        }
