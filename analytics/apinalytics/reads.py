"""Time series and export of an application's events, in the published shapes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from django.conf import settings

from accounts.models import Application
from analytics.apinalytics.queries import EXPORTED, NOTHING, OTHER, EventPage, Field, Series
from fonproxy.api.errors import FieldError, OutOfRange
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import QueryTooHeavy
from fonproxy.clickhouse.profiles import HEAVY, Profile

PAGE: Final = 20_000


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """The response body; ``is_cut`` if small groups were merged."""

    body: dict[str, Any]
    is_cut: bool


def series(application: Application, given: dict[str, Any], now: datetime) -> TimeSeries:
    """Raises OutOfRange (422) when the query would exceed the limits in the settings, EngineError."""
    step: int | None = given.get("granularity")
    group = Field(given["group"]) if "group" in given else None
    query = Series(
        application.pk,
        given["start"],
        given["end"],
        retention.floor("events", now),
        given["aggregation"],
        step,
        group,
        given["includes"],
        settings.APINALYTICS_MAX_GROUPS,
        settings.APINALYTICS_MAX_POINTS,
    )
    rows = _fetch(query) if given["end"] > given["start"] else []
    groups, is_cut = _groups(rows) if group else ({application.published_id: _points(rows)}, False)
    if group is None and step is None and not rows:
        groups = {application.published_id: [(given["start"], NOTHING.get(given["aggregation"]))]}
    body = {
        "groups": groups,
        "start": given["start"],
        "end": given["end"],
        "granularity": (step or given["end"] - given["start"]) * 1000,
    }
    return TimeSeries(body, is_cut)


def _fetch(query: Series) -> list[tuple[Any, ...]]:
    sql = query.to_sql()
    profile = Profile("apinalytics", (*HEAVY.settings, ("max_rows_to_read", settings.APINALYTICS_MAX_ROWS)))
    try:
        rows = get_client().fetch(sql.text, sql.params, profile=profile, tag="apinalytics.series")
    except QueryTooHeavy:
        raise _too_much("start", "The query would read too many events: choose a shorter period.") from None
    if len(rows) > settings.APINALYTICS_MAX_POINTS:
        message = (
            f"Would return more than {settings.APINALYTICS_MAX_POINTS:,} points: choose a coarser granularity, "
            "a shorter period or no group."
        )
        raise _too_much("granularity", message)
    return rows


def _too_much(field: str, message: str) -> OutOfRange:
    return OutOfRange("The query is too large.", errors=[FieldError(field, message)])


def _points(rows: list[tuple[Any, ...]]) -> list[tuple[int, Any]]:
    return [(time, value) for time, _, _, value, *_ in rows]


def _groups(rows: list[tuple[Any, ...]]) -> tuple[dict[str, list[tuple[int, Any]]], bool]:
    """Series by group, most events first and the merged rest last, and whether there is a rest."""
    groups: defaultdict[str, list[tuple[int, Any]]] = defaultdict(list)
    sizes: Counter[str] = Counter()
    is_cut = False
    for time, name, is_large, value, events, holds_others in rows:
        key = name if is_large else OTHER
        is_cut |= bool(holds_others)
        groups[key].append((time, value))
        sizes[key] += events
    order = sorted(groups, key=lambda name: (name == OTHER, -sizes[name], name))
    return {name: groups[name] for name in order}, is_cut


class Position(NamedTuple):
    """An event's position in an export: its time, and its id among events of the same second."""

    timestamp: int
    event_id: str

    def __str__(self) -> str:
        return f"{self.timestamp}-{self.event_id}"


def export(
    application: Application,
    since: datetime | None,
    before: datetime | None,
    now: datetime,
    after: Position | None = None,
) -> Iterator[bytes]:
    """The application's events as NDJSON, ordered by time, page by page. Raises EngineError.

    Each line has the cursor from which another export continues. The export ends a day ahead of now, the newest time
    that ingest accepts.
    """
    oldest = retention.floor("events", now)
    end = before or datetime.fromtimestamp(int(now.timestamp()) + 86_400, UTC)
    while True:
        sql = EventPage(application.pk, max(since or oldest, oldest), end, after, PAGE).to_sql()
        rows = get_client().fetch(sql.text, sql.params, profile=HEAVY, tag="apinalytics.export")
        yield b"".join(_line(*row) for row in rows)
        if len(rows) < PAGE:
            return
        after = Position(rows[-1][0], rows[-1][-1])


def _line(timestamp: int, *values: Any) -> bytes:
    *rest, event_id = values
    shown = dict(zip(EXPORTED, (timestamp, *rest), strict=True))
    return msgspec.json.encode({**shown, "cursor": str(Position(timestamp, event_id))}) + b"\n"
