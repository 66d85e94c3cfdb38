"""Replicated tables, where a Keeper is at hand: `make test-replicated`, or acceptance on such a server."""

from __future__ import annotations

import pytest
from django.conf import settings

from fonproxy.clickhouse import migrator, retention
from fonproxy.clickhouse.client import Client

pytestmark = pytest.mark.skipif(not settings.CLICKHOUSE_REPLICATED, reason="about replicated tables")


def test_every_table_is_a_replica_that_can_be_written_to(engine: Client) -> None:
    found = engine.fetch(
        "SELECT table, is_readonly FROM system.replicas WHERE database = {database:String}",
        {"database": migrator.DATABASE},
        tag="tests",
    )
    assert dict(found) == dict.fromkeys([*retention.declared(), "schema_migrations"], 0)


def test_the_tables_are_as_declared(engine: Client) -> None:
    assert migrator.differences(engine) == []


def test_changed_retention_reaches_replicated_tables(engine: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(settings, "TRAFFIC_RETENTION_MONTHS", 4)
        migrator.migrate(engine)
        assert migrator.plan(engine) == []
    migrator.migrate(engine)
    assert migrator.plan(engine) == []
