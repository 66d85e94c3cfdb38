"""Asks for an application's time series and events, and shapes them as published."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from django.conf import settings

from accounts.models import Application
from analytics.events.queries import EXPORTED, NOTHING, OTHER, Field, Page, Series, aggregation
from fonproxy.api.errors import FieldError, OutOfRange
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import QueryTooHeavy
from fonproxy.clickhouse.profiles import READ, Profile

PAGE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The published reply; ``is_cut`` says that small groups were put together."""

    body: dict[str, Any]
    is_cut: bool


def series(application: Application, given: dict[str, Any], now: datetime) -> Answer:
    """Raises OutOfRange (422) for what would cost more than the settings allow, EngineError."""
    step: int | None = given.get("granularity")
    group = Field(given["group"]) if "group" in given else None
    sql = aggregation(given["aggregation"])
    assert sql is not None
    question = Series(
        application.pk,
        given["start"],
        given["end"],
        retention.floor("events", now),
        sql,
        step,
        group,
        given["includes"],
        settings.EVENTS_MAX_GROUPS,
        settings.EVENTS_MAX_POINTS,
    )
    rows = _fetch(question) if given["end"] > given["start"] else []
    groups, is_cut = _groups(rows) if group else ({application.published_id: _points(rows)}, False)
    if group is None and step is None and not rows:
        groups = {application.published_id: [(given["start"], NOTHING.get(given["aggregation"]))]}
    body = {
        "groups": groups,
        "start": given["start"],
        "end": given["end"],
        "granularity": (step or given["end"] - given["start"]) * 1000,
    }
    return Answer(body, is_cut)


def _fetch(question: Series) -> list[tuple[Any, ...]]:
    sql = question.to_sql()
    profile = Profile("events", (*READ.settings, ("max_rows_to_read", settings.EVENTS_MAX_ROWS)))
    try:
        rows = get_client().fetch(sql.text, sql.params, profile=profile, tag="events.series")
    except QueryTooHeavy:
        raise _too_much("start", "Would read more events than one question may: ask for a shorter period.") from None
    if len(rows) > settings.EVENTS_MAX_POINTS:
        message = (
            f"Would answer more than {settings.EVENTS_MAX_POINTS:,} points: ask for a coarser granularity, "
            "a shorter period or no group."
        )
        raise _too_much("granularity", message)
    return rows


def _too_much(field: str, message: str) -> OutOfRange:
    return OutOfRange("The question is too large.", errors=[FieldError(field, message)])


def _points(rows: list[tuple[Any, ...]]) -> list[tuple[int, Any]]:
    return [(time, value) for time, _, _, value, *_ in rows]


def _groups(rows: list[tuple[Any, ...]]) -> tuple[dict[str, list[tuple[int, Any]]], bool]:
    """Series by group, the one with most events first and the rest last; whether groups are in the rest."""
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


def export(application: Application, since: datetime | None, before: datetime | None, now: datetime) -> Iterator[bytes]:
    """The application's events as NDJSON, in the order of time, page by page. Raises EngineError.

    Ends with the second before now, so that what arrives meanwhile does not make it endless.
    """
    oldest = retention.floor("events", now)
    end = before or datetime.fromtimestamp(int(now.timestamp()) + 86_400, UTC)
    after: tuple[int, str] | None = None
    while True:
        sql = Page(application.pk, max(since or oldest, oldest), end, after, PAGE).to_sql()
        rows = get_client().fetch(sql.text, sql.params, tag="events.export")
        yield b"".join(msgspec.json.encode(dict(zip(EXPORTED, values, strict=True))) + b"\n" for *values, _ in rows)
        if len(rows) < PAGE:
            return
        after = rows[-1][0], rows[-1][-1]
