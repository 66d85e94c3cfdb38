"""The usual way to store rows with Django: a serializer with ``many=True``, then ``bulk_create`` into PostgreSQL.

Runs in a process of its own with settings of its own. It skips everything else that ingestion does: HTTP, attribution,
idempotency, and every table but one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle, islice
from time import perf_counter
from typing import Any

import django
from django.conf import settings

from bench.bodies import PushBody


def connect(port: int) -> None:
    """Sets Django up for the server on this port, and makes the table."""
    database = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": port}
    settings.configure(
        DATABASES={"default": {**database, "NAME": "postgres", "USER": "postgres"}},
        INSTALLED_APPS=["rest_framework"],
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from django.db import connection

    from bench.orm_table import PushedRow

    with connection.schema_editor() as editor:
        editor.create_model(PushedRow)


def insert(bodies: Sequence[PushBody], batches: int) -> float:
    """Rows per second of so many bodies, from JSON to committed."""
    from bench.orm_table import PushedRowSerializer

    source = list(islice(cycle(bodies), batches))
    started = perf_counter()
    for body in source:
        serializer: Any = PushedRowSerializer(data=json.loads(body.content)["logs"], many=True)
        serializer.is_valid(raise_exception=True)
        serializer.save()
    return sum(body.rows for body in source) / (perf_counter() - started)


def count() -> tuple[int, int]:
    """How many rows the table holds, and how many requests they represent."""
    from django.db.models import Count, Sum

    from bench.orm_table import PushedRow

    found = PushedRow._default_manager.aggregate(rows=Count("pk"), requests=Sum("count", default=0))
    return found["rows"], found["requests"]
