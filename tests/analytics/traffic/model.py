"""The expected results of the six reads, computed row by row in plain Python.

It shares no code with the application, so the two can only agree if both are right.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """An accepted, attributed row: the fields that its account can read."""

    user: int
    order: int
    ts: datetime
    domain: str = ""
    error: str = ""
    count: int = 0
    sent: int = 0
    received: int = 0
    errors: int = 0
    concurrency: int = 0

    @property
    def bucket(self) -> datetime:
        return quarter(self.ts)


@dataclass(frozen=True, slots=True)
class Question:
    """A read and its parameters. ``start`` and ``end`` are local dates in the zone, or date-times in UTC."""

    report: str
    user: int
    start: date
    end: date
    zone: str = "UTC"
    order: int | None = None
    domain: str | None = None
    interval: str | None = None
    fill: bool = False
    sort_by: str = "bytes"
    limit: int | None = None
    page: int = 1


def quarter(at: datetime) -> datetime:
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def midnight(day: date, zone: str) -> datetime:
    return day if isinstance(day, datetime) else datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def stated_range(question: Question) -> tuple[datetime, datetime]:
    """The range as given: a date as the end includes that day."""
    is_date = not isinstance(question.end, datetime)
    return midnight(question.start, question.zone), midnight(question.end + timedelta(days=is_date), question.zone)


def buckets(question: Question) -> list[datetime]:
    """Every stored bucket that the range touches, in order."""
    start, end = stated_range(question)
    found, at = [], quarter(start)
    while at < end and start < end:
        found.append(at)
        at += QUARTER
    return found


def months_later(at: datetime, months: int) -> datetime:
    """The same day and time that many months later, or the month's last day if it has no such day."""
    years, month = divmod(at.month - 1 + months, 12)
    year, month = at.year + years, month + 1
    return at.replace(year=year, month=month, day=min(at.day, calendar.monthrange(year, month)[1]))


def answer(rows: Iterable[ModelRow], question: Question, *, now: datetime, kept_months: int = 13) -> dict[str, Any]:
    """The whole body of the response. Charts of all domains come from a table that is kept for ever."""
    own = [row for row in rows if row.user == question.user]
    wanted = set(buckets(question))
    chosen = [row for row in own if row.bucket in wanted and question.order in (None, row.order)]
    if question.domain:
        chosen = [row for row in chosen if row.domain.lower() == question.domain.lower()]
    is_chart = question.report in CHARTS
    if question.domain or not is_chart:
        chosen = [row for row in chosen if months_later(row.bucket, kept_months) >= now]
    last = stamp(max(row.bucket for row in own), question.zone) if own else None
    body = chart(chosen, question) if is_chart else LISTS[question.report](chosen, question)
    return {
        **body,
        "totals": totals(chosen_for_totals(rows, question, now, kept_months), question),
        "last_data_at": last,
    }


def chosen_for_totals(rows: Iterable[ModelRow], question: Question, now: datetime, kept_months: int) -> list[ModelRow]:
    """The rows of the range; without a domain all but the errors come from the table that is kept for ever."""
    wanted = set(buckets(question))
    found = [row for row in rows if row.user == question.user and row.bucket in wanted]
    found = [row for row in found if question.order in (None, row.order)]
    if question.report == "errors":
        found = [row for row in found if row.error]
    if question.domain:
        found = [row for row in found if row.domain.lower() == question.domain.lower()]
    if question.domain or question.report == "errors":
        found = [row for row in found if months_later(row.bucket, kept_months) >= now]
    return found


def totals(rows: Sequence[ModelRow], question: Question) -> dict[str, str]:
    return {name: str(metric(rows)) for name, metric in TOTALS[question.report].items()}


def stamp(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def sent(rows: Sequence[ModelRow]) -> int:
    return sum(row.sent for row in rows)


def received(rows: Sequence[ModelRow]) -> int:
    return sum(row.received for row in rows)


def moved(rows: Sequence[ModelRow]) -> int:
    return sum(row.sent + row.received for row in rows)


def requests(rows: Sequence[ModelRow]) -> int:
    return sum(row.count for row in rows)


def failures(rows: Sequence[ModelRow]) -> int:
    return sum(row.errors for row in rows)


def highest(rows: Sequence[ModelRow]) -> int:
    return max((row.concurrency for row in rows), default=0)


CHARTS: dict[str, dict[str, Callable[[Sequence[ModelRow]], int]]] = {
    "traffic": {
        "total_bytes_sent": sent,
        "total_bytes_received": received,
        "bytes_total": moved,
        "total_count": requests,
    },
    "requests": {"total_count": requests, "total_errors": failures},
    "concurrency": {"max_concurrency": highest, "total_count": requests},
}


TOTALS: dict[str, dict[str, Callable[[Sequence[ModelRow]], int]]] = {
    **CHARTS,
    "domains": {
        "total_count": requests,
        "bytes_total": moved,
        "total_bytes_sent": sent,
        "total_bytes_received": received,
        "total_errors": failures,
    },
    "errors": {"total_errors": failures},
    "websites": {"total_count": requests, "bytes_total": moved},
}


def chart(rows: Sequence[ModelRow], question: Question) -> dict[str, Any]:
    points = {point: [row for row in rows if row.bucket in members] for point, members in cut(question).items()}
    metrics = CHARTS[question.report]
    return {
        "data": [
            {"bucket": label, **{name: str(metric(members)) for name, metric in metrics.items()}}
            for (_, label), members in points.items()
            if members or question.fill
        ]
    }


def cut(question: Question) -> dict[tuple[int, str], set[datetime]]:
    """The buckets of each point, in order. A day is whole however long; an hour that comes twice is two points."""
    interval = question.interval or default_interval(question)
    points: dict[tuple[int, str], set[datetime]] = {}
    changes, offset = 0, None
    for bucket in buckets(question):
        local = bucket.astimezone(ZoneInfo(question.zone))
        if offset not in (None, local.utcoffset()):
            changes += 1
        offset = local.utcoffset()
        point = (0, f"{local:%Y-%m-%d} 00:00:00") if interval == "1d" else (changes, clock_label(local, interval))
        points.setdefault(point, set()).add(bucket)
    return points


def clock_label(local: datetime, interval: str) -> str:
    minute = 0 if interval == "1h" else local.minute // 15 * 15
    return f"{local:%Y-%m-%d %H}:{minute:02}:00"


def default_interval(question: Question) -> str:
    start, end = (at.astimezone(ZoneInfo(question.zone)).replace(tzinfo=None) for at in stated_range(question))
    if end - start <= timedelta(days=2):
        return "15m"
    return "1h" if end - start <= timedelta(days=14) else "1d"


def by(rows: Sequence[ModelRow], name: Callable[[ModelRow], str]) -> dict[str, list[ModelRow]]:
    groups: dict[str, list[ModelRow]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return groups


def chosen(question: Question) -> Callable[[Sequence[ModelRow]], int]:
    return moved if question.sort_by == "bytes" else requests


def ranked(groups: dict[str, list[ModelRow]], metric: Callable[[Sequence[ModelRow]], int]) -> list[str]:
    """Names, largest first, ties sorted by name."""
    return sorted(groups, key=lambda name: (-metric(groups[name]), name))


def by_domain(rows: Sequence[ModelRow]) -> dict[str, list[ModelRow]]:
    return by(rows, lambda row: row.domain.lower())


def domains(rows: Sequence[ModelRow], question: Question) -> dict[str, Any]:
    groups = by_domain(rows)
    names = ranked(groups, chosen(question))[: question.limit or 30]
    return {
        "data": [
            {
                "domain": name,
                "total_count": str(requests(groups[name])),
                "bytes_total": str(moved(groups[name])),
                "total_bytes_sent": str(sent(groups[name])),
                "total_bytes_received": str(received(groups[name])),
                "total_errors": str(failures(groups[name])),
            }
            for name in names
        ]
    }


def errors(rows: Sequence[ModelRow], question: Question) -> dict[str, Any]:
    groups = by([row for row in rows if row.error], lambda row: row.error)
    return {
        "data": [
            {
                "error": name,
                "total_errors": str(failures(groups[name])),
                "first_seen": stamp(min(row.bucket for row in groups[name]), question.zone),
                "last_seen": stamp(max(row.bucket for row in groups[name]), question.zone),
                "sample_domains": ranked(by_domain(groups[name]), failures)[:5],
            }
            for name in ranked(groups, failures)[: question.limit or 50]
        ]
    }


def websites(rows: Sequence[ModelRow], question: Question) -> dict[str, Any]:
    groups = by_domain(rows)
    limit = question.limit or 25
    names = ranked(groups, chosen(question))[(question.page - 1) * limit : question.page * limit]
    return {
        "data": [
            {
                "domain": name,
                "total_count": str(requests(groups[name])),
                "bytes_total": str(moved(groups[name])),
                "first_visit": stamp(min(row.bucket for row in groups[name]), question.zone),
                "last_visit": stamp(max(row.bucket for row in groups[name]), question.zone),
            }
            for name in names
        ],
        "page": question.page,
        "limit": limit,
        "total": len(groups),
        "totalPages": (len(groups) + limit - 1) // limit,
    }


LISTS: dict[str, Callable[[Sequence[ModelRow], Question], dict[str, Any]]] = {
    "domains": domains,
    "errors": errors,
    "websites": websites,
}
