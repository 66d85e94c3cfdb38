"""Which partitions a move copies, and what it refuses before it opens a store."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from accounts.models import User
from analytics.ingest.service import accept
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import pushed_rows
from console.management.commands.move import Command
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import Client
from fonproxy.move.engine import NONE, Engine, PartitionDigest, differing, digest, tables, to_copy
from tests.analytics.helpers import body_of, documented_row

SAME, OTHER = PartitionDigest(3, 2**63, 30), PartitionDigest(3, 2**63 + 1, 30)


def test_partitions_that_are_missing_or_different_are_copied_oldest_first() -> None:
    here = {202611: SAME, 202609: SAME, 202610: SAME, 202608: NONE}
    assert to_copy(here, {202609: SAME, 202610: OTHER}) == [202608, 202610, 202611]


def test_a_partition_that_was_emptied_here_since_it_was_copied_is_copied_again() -> None:
    here, there = {202609: SAME}, {202608: OTHER, 202609: SAME}
    assert to_copy(here, there) == differing(here, there) == [202608]


@pytest.mark.django_db
def test_copying_a_partition_without_rows_here_removes_it_from_the_target(clean_engine: Client, worker: User) -> None:
    body = body_of([documented_row(count=12)])
    accept(body, pushed_rows, account_id=worker.pk, route=IngestBatch.Route.TRAFFIC, key=None, now=timezone.now())
    target, source = Engine(clean_engine, migrator.DATABASE), Engine(clean_engine, "emptied")
    [table] = [table for table in tables(target) if table.name == "traffic"]
    try:
        clean_engine.command("CREATE DATABASE emptied", tag="tests")
        clean_engine.command(f"CREATE TABLE emptied.traffic AS {migrator.DATABASE}.traffic", tag="tests")
        there = digest(target, table, timezone.now())
        assert len(there) == 1
        assert Command(stdout=StringIO())._copy(source, target, [table], {"traffic": {}}, {"traffic": there})[0] == 0
        assert digest(target, table, timezone.now()) == {}
    finally:
        clean_engine.command("DROP DATABASE emptied SYNC", tag="tests")


def test_a_partition_that_expired_meanwhile_may_be_missing() -> None:
    assert differing({202608: NONE, 202609: SAME}, {202609: SAME}) == []
    assert differing({202609: SAME}, {202609: SAME, 202610: SAME}) == [202610]
    assert differing({202609: SAME}, {202609: OTHER}) == [202609]


def test_hashes_of_two_shards_add_up_as_the_engine_adds_them() -> None:
    assert SAME + PartitionDigest(1, 2**63, 5) == PartitionDigest(4, 0, 35)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "Name the target"),
        ({"to_data_dir": Path("/tmp/new"), "to_database": "postgres://host/name"}, "cannot be combined"),
        ({"to_database": "mysql://host/name"}, "--to-database must be like postgres://"),
        ({"to_clickhouse": "clickhouse://:@/"}, "--to-clickhouse: CLICKHOUSE_URL must be like"),
    ],
)
def test_options_that_name_no_target_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("move", **options)
