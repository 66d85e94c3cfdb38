"""Several shards behind the same table names.

On every server of a cluster ``<database>_shard`` has the tables and views of its shard, just like a single server's
database. ``<database>`` has a Distributed table of the same name in front of each, so that queries and inserts stay the
same. Rows are sharded by account, so a query of one account uses one shard. This module only transforms statements; it
does not talk to a server.
"""

from __future__ import annotations

import re
from typing import Final

from django.conf import settings

from fonproxy.clickhouse.profiles import literal

# The sharding key of tables that are not sharded by account. An application's events are queried together.
_SPREAD_BY: Final = {"events": "application_id", "schema_migrations": "name"}

_TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\.(\w+)")
_ENGINE: Final = re.compile(r"ENGINE = (Summing|Aggregating|)MergeTree(?:\((\(.*?\))\))?")
_WINDOW: Final = "non_replicated_deduplication_window = 10000"
_NAMED: Final = re.compile(r"(?:CREATE TABLE|CREATE MATERIALIZED VIEW|ALTER TABLE)(?: IF NOT EXISTS)? \w+\.(\w+)")
_NEW_COLUMN: Final = re.compile(r"ALTER TABLE \S+ ADD COLUMN ")


def statements(template: str, database: str) -> list[str]:
    """The statements to run, in order, for one statement about ``{database}``, under this process's settings."""
    if settings.CLICKHOUSE_CLUSTER:
        return spread(template, database, settings.CLICKHOUSE_CLUSTER)
    statement = template.replace("{database}", database)
    return [replicated(statement) if settings.CLICKHOUSE_REPLICATED else statement]


def of_rows(database: str) -> str:
    """The database whose tables have the rows; use it for ALTER and for inspection."""
    return shard_database(database) if settings.CLICKHOUSE_CLUSTER else database


def everywhere(name: str) -> str:
    """``name`` of a table or database as written in a statement that runs on every server."""
    return f"{name} ON CLUSTER {literal(settings.CLICKHOUSE_CLUSTER)}" if settings.CLICKHOUSE_CLUSTER else name


def databases(database: str) -> list[str]:
    """The statements that create the databases; none on a single server, where connecting creates it."""
    if not settings.CLICKHOUSE_CLUSTER:
        return []
    return [f"CREATE DATABASE IF NOT EXISTS {everywhere(name)}" for name in (shard_database(database), database)]


def shard_database(database: str) -> str:
    return f"{database}_shard"


def replicated(statement: str) -> str:
    """The statement for a replicated table, whose tokens and parts are written together to Keeper.

    ``{shard}`` and ``{replica}`` are macros of the server.
    """
    table = _TABLE.search(statement)
    if table is None or not _ENGINE.search(statement):
        return statement
    place = f"'/clickhouse/tables/{{shard}}/{table[1]}/{table[2]}', '{{replica}}'"

    def engine(found: re.Match[str]) -> str:
        return f"ENGINE = Replicated{found[1]}MergeTree({place}{f', {found[2]}' if found[2] else ''})"

    window = "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
    return _ENGINE.sub(engine, statement).replace(_WINDOW, window)


def spread(template: str, database: str, name: str) -> list[str]:
    """The statement on every server of the cluster ``name``, and its counterpart for the Distributed table in front.

    Rows that a migration copies go through the Distributed tables. Raises ValueError for an unknown kind of statement.
    """
    local, facade = (template.replace("{database}", one) for one in (shard_database(database), database))
    if template.startswith("INSERT INTO "):
        return [facade]
    named = _NAMED.match(template.replace("{database}", database))
    if named is None:
        raise ValueError(f"Cannot run this on a cluster: {template.splitlines()[0]}")
    made = [_on_cluster(replicated(local), name)]
    if template.startswith("CREATE TABLE "):
        made.append(_distributed(named[1], database, name))
    if _NEW_COLUMN.match(template):
        made.append(_on_cluster(facade, name))  # after the shards, because it must not have columns that they lack
    return made


def _on_cluster(statement: str, name: str) -> str:
    return _NAMED.sub(lambda found: f"{found[0]} ON CLUSTER {literal(name)}", statement, count=1)


def _distributed(table: str, database: str, name: str) -> str:
    shard = shard_database(database)
    key = _SPREAD_BY.get(table, "user_id")
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{table} ON CLUSTER {literal(name)} AS {shard}.{table}\n"
        f"ENGINE = Distributed({literal(name)}, {literal(shard)}, {literal(table)}, cityHash64({key}))"
    )
