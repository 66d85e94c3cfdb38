"""The engine alone: rows that are already columns go straight into ``inbox``.

Runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from time import perf_counter
from typing import Final
from uuid import uuid4

import pyarrow as pa
from django.conf import settings
from django.utils import timezone

from analytics.ingest import columns as ingest_columns
from analytics.ingest.decode import parse
from analytics.traffic.ingest_row import TRAFFIC
from bench.bodies import PushBody
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client

TARGETS: Final = ("traffic", "order_traffic", "minute_traffic", "daily_host", "daily_network", "traffic_detail")

_batches: list[pa.Table] = []


def prepare(bodies: Sequence[PushBody]) -> None:
    """Makes the columns of these bodies, exactly as ingestion would."""
    now = timezone.now()
    oldest = retention.floor("traffic", now)
    assert oldest is not None
    for body in bodies:
        columns, directory = parse(TRAFFIC, body.content, oldest=oldest, now=now, max_rows=settings.INGEST_MAX_ROWS)
        _batches.append(ingest_columns.to_table(columns, directory, now))


def insert(inserts: int, batches: int) -> float:
    """Rows per second of these inserts, each of several batches in one block under a token of its own."""
    source = cycle(_batches)
    blocks = [pa.concat_tables(islice(source, batches)) for _ in range(inserts)]
    started = perf_counter()
    for block in blocks:
        get_client().insert("inbox", block, token=str(uuid4()))
    return float(sum(block.num_rows for block in blocks) / (perf_counter() - started))


def count() -> dict[str, tuple[int, int]]:
    """How many rows were pushed into each target of ``inbox``, and how many requests they represent."""
    counts = {}
    for table in TARGETS:
        [(pushed, requests)] = get_client().fetch(f"SELECT sum(rows), sum(count) FROM {table}", tag="bench.count")
        counts[table] = (pushed, requests)
    return counts
