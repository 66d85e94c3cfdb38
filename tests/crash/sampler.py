"""One process that starts as the server does, reports a running connection, and is killed on the way if told so.

    FONPROXY_DATA_DIR=… python -m tests.crash.sampler BYTES [POINT]

The connection has moved 100 bytes first and ``BYTES`` then; ``POINT`` is one of the second report, as in
``tests.crash.pusher``. Whoever gets to the end prints the bytes and requests that the traffic tables hold, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from accounts.models import User  # noqa: E402
from accounts.services import issue_key  # noqa: E402
from analytics.ingest.flusher import recover  # noqa: E402
from demo.accounts import make_accounts  # noqa: E402
from fonproxy.clickhouse import migrator  # noqa: E402
from fonproxy.clickhouse.client import close_client, get_client  # noqa: E402
from tests.crash.pusher import deadly_at, kept  # noqa: E402

STARTED_AT = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0).isoformat()


def report(client: APIClient, size: int) -> Any:
    sample = {"session": "s", "login": "alice", "worker": "w", "startedAt": STARTED_AT, "bytesSent": 1}
    body = json.dumps({"samples": [sample | {"bytesReceived": size}]})
    return client.post("/gateway/sessions", body, content_type="application/json")


def main(size: str, point: str = "") -> None:
    call_command("migrate", verbosity=0)
    migrator.migrate(get_client())
    recover()
    make_accounts(timezone.now())
    secret = issue_key(user=User.objects.get(username="admin"), name="gw", scopes=["gateway"], now=timezone.now())[1]
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret, HTTP_HOST="localhost")
    assert report(client, 100).status_code == 204
    if point:
        with deadly_at(point):
            report(client, int(size))
    answer = report(client, int(size))
    [(total,)] = get_client().fetch("SELECT sum(bytes_received) FROM traffic", tag="tests")
    requests = kept("traffic")[1]
    close_client()
    print(json.dumps({"status": answer.status_code, "bytes": total, "requests": requests}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
