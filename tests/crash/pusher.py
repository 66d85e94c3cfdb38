"""One process that starts as the server does, pushes one batch under a key, and is killed on the way if told so.

    FONPROXY_DATA_DIR=… python -m tests.crash.pusher SPREAD [POINT]

With the spread ``gateways`` it is one batch of each of several gateways, pushed at once and recorded as one group; with
``together`` and ``requests-together`` the web server hands them over together.
``POINT`` is ``before-commit-N``, ``after-commit-N`` (the Nth transaction of the push), ``before-insert`` or
``after-insert``. Whoever gets to the end prints the answer's status, and what every table holds, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Final
from unittest import mock

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.db.transaction import Atomic  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from analytics.byteful.log.push_batches import accept as accept_requests  # noqa: E402
from analytics.ingest import group_commit  # noqa: E402
from analytics.ingest.flusher import flusher, recover  # noqa: E402
from analytics.ingest.group_commit import GroupCommit  # noqa: E402
from analytics.traffic.push_batches import accept as accept_traffic  # noqa: E402
from demo.accounts import make_accounts  # noqa: E402
from fonproxy.clickhouse import migrator, retention  # noqa: E402
from fonproxy.clickhouse.client import close_client, get_client  # noqa: E402
from fonproxy.clickhouse.embedded import EmbeddedClient  # noqa: E402
from tests.analytics.helpers import TABLES, documented_row  # noqa: E402

# Fixed within the run of a test, so that the retry sends the same body: the day before yesterday at noon.
LATEST: Final = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
SPREADS: Final = {
    "retention": timedelta(days=395 / 60),
    "bucket": timedelta(0),
    "requests": timedelta(hours=1),
    "events": timedelta(days=2),
    "gateways": timedelta(hours=1),
    "together": timedelta(hours=1),
    "requests-together": timedelta(hours=1),
}
ROWS: Final = 60
GATEWAYS: Final = 6


ROUTES: Final = {"requests": "/log/ingest", "requests-together": "/log/ingest", "events": "/1/event/"}


def tables(spread: str) -> tuple[str, ...]:
    """The tables that receive the batch."""
    if spread == "events":
        return ("events",)
    return (*TABLES, "daily_host_times", "requests" if ROUTES.get(spread) == "/log/ingest" else "unlogged_traffic")


def rows(spread: str) -> list[dict[str, Any]]:
    if spread == "events":
        times = [int((LATEST - i * SPREADS[spread]).timestamp()) for i in range(ROWS)]
        return [{"timestamp": at, "method": "GET", "url": "/", "response_us": 1, "status_code": 200} for at in times]
    if ROUTES.get(spread) == "/log/ingest":
        return [
            {"log_request_datetime": (LATEST - i * SPREADS[spread]).isoformat(), "user_id": 1, "order_id": 3}
            for i in range(ROWS)
        ]
    return [
        documented_row(ts=(LATEST - i * SPREADS[spread]).isoformat(), domain=f"d{i % 7}.example", count=i + 1)
        for i in range(ROWS)
    ]


def kept(table: str) -> tuple[int, int]:
    """Rows and requests in the table within its retention: the engine deletes others at any time."""
    time = retention.declared()[table].column
    [answer] = get_client().fetch(
        f"SELECT sum(rows), sum(count) FROM {table} WHERE {time} >= {{floor:DateTime('UTC')}}",
        {"floor": retention.floor(table, timezone.now())},
        tag="tests",
    )
    return answer[0], answer[1]


def push(client: APIClient, spread: str) -> Any:
    return post(client, spread, rows(spread), "disputed")


def post(client: APIClient, spread: str, sent: list[dict[str, Any]], key: str) -> Any:
    body = json.dumps(sent if spread == "events" else {"logs": sent})
    headers = {"Idempotency-Key": key}
    return client.post(ROUTES.get(spread, "/analytics/ingest"), body, content_type="application/json", headers=headers)


def push_at_once(client: APIClient, spread: str) -> Any:
    """The response to the last of as many pushes as there are gateways, which are recorded in one transaction."""
    shares = [rows(spread)[number::GATEWAYS] for number in range(GATEWAYS)]

    def push_share(number: int) -> Any:
        try:
            return post(client, spread, shares[number], f"gateway {number}")
        finally:
            connections.close_all()

    committer: GroupCommit = group_commit.committer
    with ThreadPoolExecutor(GATEWAYS) as pool:
        with committer._recording:
            answers = [pool.submit(push_share, number) for number in range(GATEWAYS)]
            while len(committer._waiting) < GATEWAYS and not all(answer.done() for answer in answers):
                time.sleep(0.01)
        return [answer.result() for answer in answers][-1]


def push_together(client: APIClient, spread: str) -> Any:
    """The answer to the last of these pushes, which the server passes on together; the view answers those declined."""
    shares = [rows(spread)[number::GATEWAYS] for number in range(GATEWAYS)]
    environs = [
        {
            "wsgi.input": BytesIO(json.dumps({"logs": share}).encode()),
            "HTTP_X_API_KEY": client._credentials["HTTP_X_API_KEY"],  # type: ignore[attr-defined]
            "HTTP_IDEMPOTENCY_KEY": f"gateway {number}",
        }
        for number, share in enumerate(shares)
    ]
    answer: Any = None
    accept = accept_traffic if spread == "together" else accept_requests
    for number, accepted in enumerate(accept(environs)):
        if accepted is None:
            answer = post(client, spread, shares[number], f"gateway {number}")
        else:
            assert accepted.wait is not None
            accepted.wait()
            answer = HttpResponse(status=204)
    return answer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def around(call: Callable[..., Any], *, before: bool, when: Callable[[], bool]) -> Callable[..., Any]:
    """The call, with death before or after it when ``when`` is true."""

    def deadly(*arguments: Any, **named: Any) -> Any:
        is_time = when()
        if is_time and before:
            die()
        result = call(*arguments, **named)
        if is_time:
            die()
        return result

    return deadly


def deadly_at(point: str) -> Any:
    """A patch that kills the process at this point of the push."""
    side, what, *number = point.split("-")
    if what == "insert":
        target: tuple[Any, str] = (EmbeddedClient, "insert")
        return mock.patch.object(*target, around(EmbeddedClient.insert, before=side == "before", when=lambda: True))
    commits = iter(range(1, 1000))
    return mock.patch.object(
        Atomic,
        "__exit__",
        around(
            Atomic.__exit__,
            before=side == "before",
            # Only the outermost block commits.
            when=lambda: len(connection.savepoint_ids) == 0 and next(commits) == int(number[0]),
        ),
    )


def main(spread: str, point: str = "") -> None:
    call_command("migrate", verbosity=0)
    migrator.migrate(get_client())
    recover()
    flusher.start()
    client = APIClient()
    credentials = make_accounts(timezone.now())
    client.credentials(
        HTTP_X_API_KEY=credentials.ingest_key,
        HTTP_X_AUTH_USER=credentials.application.published_id,
        HTTP_X_AUTH_KEY=credentials.application_keys.write,
        HTTP_HOST="localhost",
    )
    send = {"gateways": push_at_once, "together": push_together, "requests-together": push_together}.get(spread, push)
    if point:
        with deadly_at(point):
            send(client, spread)
    answer = send(client, spread)
    flusher.stop()
    found = {table: kept(table) for table in tables(spread)}
    close_client()
    print(json.dumps({"status": answer.status_code, "found": found}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
