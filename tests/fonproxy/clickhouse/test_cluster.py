"""The numbered files transformed for replicated tables and for a cluster; parsed by the real engine."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fonproxy.clickhouse import cluster, migrator, retention
from fonproxy.clickhouse.client import Client

HELD = {*retention.declared(), "schema_migrations"}
INBOXES = {"inbox", "history_inbox", "request_inbox"}


def _statements() -> list[str]:
    files = [statement for file in migrator.migrations() for statement in file.statements("somewhere")]
    return cluster.statements(migrator.STATE_TABLE, "somewhere") + files


def _is_read_by(engine: Client, statements: list[str]) -> bool:
    return all(
        engine.fetch("SELECT formatQuery({statement:String})", {"statement": statement}, tag="tests")
        for statement in statements
    )


@pytest.fixture
def on_a_cluster(settings: Any) -> None:
    settings.CLICKHOUSE_CLUSTER = "usage"


def test_every_table_can_be_made_replicated_and_the_engine_can_read_how(engine: Client, settings: Any) -> None:
    settings.CLICKHOUSE_REPLICATED = True
    tables = [statement for statement in _statements() if "MergeTree" in statement and "CREATE TABLE" in statement]
    assert len(tables) == len(HELD)
    for statement in tables:
        found = re.search(
            r"ENGINE = Replicated\w*MergeTree\('/clickhouse/tables/\{shard\}/\w+/(\w+)', '\{replica\}'", statement
        )
        assert found, statement
        assert f".{found[1]}\n" in statement
        assert "non_replicated" not in statement
    assert _is_read_by(engine, _statements())


def test_measures_stay_listed_when_a_table_is_made_replicated() -> None:
    made = cluster.replicated(
        "CREATE TABLE IF NOT EXISTS d.t\n(a UInt64)\nENGINE = SummingMergeTree((rows, count))\nORDER BY a"
        "\nSETTINGS non_replicated_deduplication_window = 10000"
    )
    assert "ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/d/t', '{replica}', (rows, count))" in made
    assert "SETTINGS replicated_deduplication_window = 10000" in made


@pytest.mark.usefixtures("on_a_cluster")
def test_on_a_cluster_every_table_is_behind_a_distributed_one_of_its_name(engine: Client) -> None:
    statements = _statements()
    made = [re.match(r"CREATE TABLE IF NOT EXISTS (\w+)\.(\w+) ON CLUSTER 'usage'", one) for one in statements]
    tables = [(found[1], found[2]) for found in made if found]
    assert {name for database, name in tables if database == "somewhere_shard"} == HELD | INBOXES
    # Each right behind the one it stands for, whose columns it takes.
    assert tables[1::2] == [("somewhere", name) for _, name in tables[::2]]
    assert _is_read_by(engine, statements)


@pytest.mark.usefixtures("on_a_cluster")
def test_on_a_cluster_rows_are_spread_by_account_and_events_by_application() -> None:
    found = [re.search(r"Distributed\('usage', 'somewhere_shard', '(\w+)', cityHash64\((\w+)\)\)", one) for one in
             _statements()]  # fmt: skip
    keys = {match[1]: match[2] for match in found if match}
    assert set(keys) == HELD | INBOXES
    assert keys.pop("events") == "application_id"
    assert keys.pop("schema_migrations") == "name"
    assert set(keys.values()) == {"user_id"}


@pytest.mark.usefixtures("on_a_cluster")
def test_on_a_cluster_views_stay_within_their_shard_and_every_table_of_rows_is_replicated() -> None:
    statements = _statements()
    for view in [one for one in statements if one.startswith("CREATE MATERIALIZED VIEW")]:
        assert "ON CLUSTER 'usage'" in view.splitlines()[0]
        assert set(re.findall(r"\b(somewhere\w*)\.", view)) == {"somewhere_shard"}
    held = [one for one in statements if "MergeTree" in one]
    assert len(held) == len(HELD)
    assert all("Replicated" in one and "/{shard}/somewhere_shard/" in one for one in held)


@pytest.mark.usefixtures("on_a_cluster")
def test_on_a_cluster_a_new_column_is_added_to_the_shards_first() -> None:
    template = "ALTER TABLE {database}.inbox ADD COLUMN IF NOT EXISTS n UInt8"
    assert cluster.statements(template, "d") == [
        "ALTER TABLE d_shard.inbox ON CLUSTER 'usage' ADD COLUMN IF NOT EXISTS n UInt8",
        "ALTER TABLE d.inbox ON CLUSTER 'usage' ADD COLUMN IF NOT EXISTS n UInt8",
    ]


@pytest.mark.usefixtures("on_a_cluster")
def test_on_a_cluster_an_unknown_kind_of_statement_is_refused() -> None:
    with pytest.raises(ValueError, match="Cannot run this on a cluster: RENAME TABLE"):
        cluster.statements("RENAME TABLE {database}.a TO {database}.b", "d")


@pytest.mark.usefixtures("on_a_cluster")
def test_on_a_cluster_the_databases_are_made_on_every_server(engine: Client) -> None:
    made = cluster.databases("d")
    assert made == [
        "CREATE DATABASE IF NOT EXISTS d_shard ON CLUSTER 'usage'",
        "CREATE DATABASE IF NOT EXISTS d ON CLUSTER 'usage'",
    ]
    assert _is_read_by(engine, made)


def test_a_single_server_runs_the_statements_unchanged(settings: Any) -> None:
    settings.CLICKHOUSE_REPLICATED = False
    assert "CLUSTER" not in "".join(_statements())
    assert "Replicated" not in "".join(_statements())
    assert cluster.databases("d") == []
