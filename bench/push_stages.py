"""Processor time of a push of ten rows and of one of 10,000, stage by stage, in one thread.

Each stage is repeated on its own. The whole request of ten rows goes through the WSGI application, recorded alone, not
in a group, and without the engine. The last stage of the large push is the engine's insert, with all of the engine's
threads.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path
from time import process_time, thread_time
from typing import Any, Final
from unittest import mock
from uuid import uuid4

from bench.bodies import PushBody, make_body
from bench.support import Embedded, print_table

ROWS: Final = 10
REPEATS: Final = 300
GROUP: Final = 64
LARGE_ROWS: Final = 10_000
LARGE_REPEATS: Final = 15


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name, Embedded(Path(name)) as process:
        owners = process.run("customers.make_orders", 40, 100)
        key = process.run("customers.make_ingest_key")
        stages = process.run("push_stages.measure", make_body(ROWS, owners, datetime.now(UTC), 1), key)
        large = process.run("push_stages.measure_large", make_body(LARGE_ROWS, owners, datetime.now(UTC), 1))
    print_table(("a push of ten rows", "CPU ms"), [(stage, f"{taken:.2f}") for stage, taken in stages.items()])
    print_table(
        (f"a push of {LARGE_ROWS:,} rows", "CPU ms"), [(stage, f"{taken:.1f}") for stage, taken in large.items()]
    )


def measure(body: PushBody, key: str) -> dict[str, float]:
    """Milliseconds of each stage. Runs in a process with Django."""
    from django.utils import timezone

    from accounts.authentication import find_active_key
    from analytics.ingest import journal, lists
    from analytics.ingest.attribution import AttributionMap
    from analytics.ingest.checks import all_sound
    from analytics.ingest.decode import parse
    from analytics.models import IngestBatch
    from analytics.traffic.ingest_row import TRAFFIC
    from fonproxy.clickhouse import retention

    now = timezone.now()
    oldest = retention.floor("traffic", now)
    columns, owners = parse(TRAFFIC, body.content, oldest=oldest, now=now, max_rows=ROWS)
    rows = lists.to_lists(columns, owners, now)
    origin = journal.BatchOrigin(None, IngestBatch.Route.TRAFFIC)

    def arrivals(size: int) -> list[journal.Arrival]:
        return [journal.Arrival.of(origin, rows, now=now, claimed=True) for _ in range(size)]

    stages: dict[str, Callable[[], object]] = {
        "look up the API key": lambda: find_active_key(key),
        "decode": lambda: TRAFFIC.decode_rows(body.content),
        "look up the owners": lambda: AttributionMap.of(set(columns["who"])),
        "check": lambda: all_sound(columns, owners, oldest, now),
        "to lists": lambda: lists.to_lists(columns, owners, now),
        "pack and name the days": lambda: arrivals(1),
        "record alone": lambda: journal.record_all(arrivals(1)),
    }
    taken = {name: _milliseconds(stage, REPEATS) for name, stage in stages.items()}
    grouped = _milliseconds(lambda: journal.record_all(arrivals(GROUP)), REPEATS // GROUP) / GROUP
    together = _milliseconds(lambda: lists.concat([rows] * GROUP), REPEATS // GROUP) / GROUP
    with mock.patch("analytics.ingest.flusher.Flusher.write"):
        whole = _milliseconds(_requests(body, key), REPEATS)
    stored = _milliseconds(_batches(body, key), REPEATS // GROUP) / GROUP
    return taken | {
        f"record, each of {GROUP}": grouped,
        f"table of {GROUP}, each": together,
        "whole request": whole,
        f"stored together with {GROUP - 1} others, each": stored,
    }


def measure_large(body: PushBody) -> dict[str, float]:
    """The same for a large body, with the engine's insert."""
    from django.utils import timezone

    from analytics.ingest import decode, journal
    from analytics.ingest.attribution import AttributionMap
    from analytics.ingest.checks import all_sound
    from analytics.ingest.columns import dirty_days_of, to_table
    from analytics.models import IngestBatch
    from analytics.traffic.ingest_row import TRAFFIC
    from fonproxy.clickhouse import retention
    from fonproxy.clickhouse.client import get_client

    now = timezone.now()
    oldest = retention.floor("traffic", now)
    rows = TRAFFIC.decode_rows(body.content)
    columns, owners = decode.parse(TRAFFIC, body.content, oldest=oldest, now=now, max_rows=LARGE_ROWS)
    table = to_table(columns, owners, now)
    origin = journal.BatchOrigin(None, IngestBatch.Route.TRAFFIC)
    arrival = journal.Arrival.of(origin, table, now=now, claimed=True)
    stages: dict[str, Callable[[], object]] = {
        "hash": lambda: hashlib.sha256(body.content).digest(),
        "decode": lambda: TRAFFIC.decode_rows(body.content),
        "columns": lambda: decode.columns_of(TRAFFIC, rows),
        "look up the owners": lambda: AttributionMap.of(set(columns["who"])),
        "check": lambda: all_sound(columns, owners, oldest, now),
        "to table": lambda: to_table(columns, owners, now),
        "pack": lambda: journal.pack(table),
        "name the days": lambda: dirty_days_of(table),
        "record": lambda: journal.record_all([arrival]),
    }
    taken = {name: _milliseconds(stage, LARGE_REPEATS) for name, stage in stages.items()}
    taken["all of these"] = sum(taken.values())
    insert = _milliseconds(
        lambda: get_client().insert("inbox", table, token=str(uuid4())), LARGE_REPEATS, clock=process_time
    )
    return taken | {"the engine's insert": insert}


def _milliseconds(work: Callable[[], object], repeats: int, clock: Callable[[], float] = thread_time) -> float:
    for _ in range(max(3, repeats // 10)):
        work()
    started = clock()
    for _ in range(repeats):
        work()
    return (clock() - started) / repeats * 1000


def _requests(body: PushBody, key: str) -> Callable[[], None]:
    """A call that pushes the body under a new idempotency key each time, as the server would call the application."""
    from fonproxy.server.wsgi import call
    from fonproxy.wsgi import application

    numbers = count()

    def push() -> None:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/analytics/ingest",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_X_API_KEY": key,
            "HTTP_IDEMPOTENCY_KEY": f"push-{next(numbers)}",
            "CONTENT_LENGTH": str(len(body.content)),
            "wsgi.input": BytesIO(body.content),
            "wsgi.url_scheme": "http",
        }
        if (answer := call(application, environ)).status != 204:
            raise RuntimeError(f"The push was answered with {answer.status}.")

    return push


def _batches(body: PushBody, key: str) -> Callable[[], None]:
    """A call that stores as many pushes together as the server would hand over at once, without sending their rows."""
    from analytics.ingest.flusher import Flusher
    from analytics.traffic import push_batches

    numbers = count()

    def store() -> None:
        environs = [
            {
                "HTTP_X_API_KEY": key,
                "HTTP_IDEMPOTENCY_KEY": f"together-{next(numbers)}",
                "wsgi.input": BytesIO(body.content),
            }
            for _ in range(GROUP)
        ]
        with mock.patch.multiple(Flusher, is_running=True, queue=lambda *_, **__: None):
            if None in push_batches.accept(environs):
                raise RuntimeError("A push was left to the view.")

    return store


if __name__ == "__main__":
    main()
