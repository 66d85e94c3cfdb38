"""An application with many events, and the bare queries of its time series.

Runs in a process with an engine.
"""

from __future__ import annotations

from time import perf_counter, process_time
from typing import Final

from django.conf import settings
from django.http import QueryDict
from django.utils import timezone

from accounts import applications
from accounts.models import Application, User
from analytics.apinalytics import params
from analytics.apinalytics.queries import Field, Series
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import READ, Profile
from fonproxy.clickhouse.query import Sql

WEEK: Final = 7 * 86_400
ROWS_PER_INSERT: Final = 2_000_000


def make_application() -> dict[str, dict[str, str]]:
    """Creates the application and returns the headers with which it sends and queries."""
    user = User.objects.create(username="owner")
    application, keys = applications.create(user, "bench", timezone.now())
    return {kind: {"X-Auth-User": application.published_id, "X-Auth-Key": key} for kind, key in keys._asdict().items()}


def fill(events: int) -> tuple[int, int]:
    """Inserts a week of events that ends now straight into their table. Returns its start and end."""
    application = Application.objects.get()
    end = int(timezone.now().timestamp())
    start = end - WEEK
    for first in range(0, events, ROWS_PER_INSERT):
        count = min(ROWS_PER_INSERT, events - first)
        get_client().command(
            f"""
INSERT INTO events (application_id, ts, event_id, user_id, consumer_id, method, url, function, response_us, status_code)
WITH cityHash64(number) AS dice
SELECT
    {application.pk}, toDateTime({start} + intDiv(number * {WEEK}, {events}), 'UTC'), generateUUIDv4(),
    {application.user_id}, concat('c-', toString(dice % 50)), 'GET',
    concat('/v1/items/', toString(intDiv(dice, 50) % 1000000)), concat('f', toString(intDiv(dice, 7) % 20)),
    dice % 1000000, 200
FROM numbers({first}, {count})
""",
            tag="bench.fill",
        )
    get_client().command("OPTIMIZE TABLE events", tag="bench.fill")
    return start, end


def held() -> tuple[int, int]:
    """How many events there are, and in how many active parts."""
    sql = (
        "SELECT sum(rows), count() FROM system.parts WHERE active AND table = 'events' AND database = currentDatabase()"
    )
    [(rows, parts)] = get_client().fetch(sql, tag="bench.held")
    return rows, parts


def ask(start: int, end: int, query: str) -> float:
    """How long the bare query took, in seconds."""
    sql = _sql(start, end, query)
    started = perf_counter()
    get_client().fetch(sql.text, sql.params, tag="bench.series")
    return perf_counter() - started


def processor_time(start: int, end: int, query: str, projections: bool) -> float:
    """Processor time of the bare query in seconds, with the sums by the minute or event by event."""
    sql = _sql(start, end, query)
    changed = {"max_execution_time": 600, "optimize_use_projections": int(projections)}
    profile = Profile("bench", tuple({**dict(READ.settings), **changed}.items()))
    started = process_time()
    get_client().fetch(sql.text, sql.params, profile=profile, tag="bench.series")
    return process_time() - started


def _sql(start: int, end: int, query: str) -> Sql:
    given = params.read(str(start), str(end), QueryDict(query))
    return Series(
        Application.objects.get().pk,
        start,
        end,
        retention.floor("events", timezone.now()),
        given["aggregation"],
        given.get("granularity"),
        Field(given["group"]) if "group" in given else None,
        given["includes"],
        settings.APINALYTICS_MAX_GROUPS,
        settings.APINALYTICS_MAX_POINTS,
    ).to_sql()
