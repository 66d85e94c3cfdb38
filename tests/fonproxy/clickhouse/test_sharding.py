"""Two shards, each a separate engine: rows are stored on their shard, once, and found from any server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from analytics import erasure, reports
from analytics.apinalytics.queries import Field, Series
from fonproxy.clickhouse import client as clients
from fonproxy.clickhouse import migrator, retention
from fonproxy.clickhouse.address import Address
from fonproxy.clickhouse.errors import EngineError
from fonproxy.clickhouse.native import NativeClient
from tests import clickhouse
from tests.engines import embedded_only
from tests.fonproxy.clickhouse.batches import TARGETS, Totals, batch, expected, found

pytestmark = [embedded_only, pytest.mark.processes, pytest.mark.usefixtures("on_the_cluster")]
USERS = tuple(range(1, 6))


class Cluster:
    """The servers, a client of each, and a client of each shard's own tables."""

    def __init__(self, servers: list[clickhouse.Endpoint]) -> None:
        self.servers = servers
        self.clients = [NativeClient(Address.parse(f"{server.url}/{migrator.DATABASE}")) for server in servers]
        self.shards = [NativeClient(Address.parse(f"{server.url}/{migrator.DATABASE}_shard")) for server in servers]

    def found(self) -> Totals:
        """The rows of both shards together."""
        return added_up(*map(found, self.shards))

    def users(self, shard: int, table: str = "traffic") -> set[int]:
        rows = self.shards[shard].fetch(f"SELECT DISTINCT user_id FROM {table}", tag="tests")
        return {user for (user,) in rows}


def added_up(first: Totals, second: Totals) -> Totals:
    """The sum over two shards; the maximum concurrency is that of one of them."""
    pairs = {table: (first[table], second[table]) for table in first}
    return {table: (a[0] + b[0], a[1] + b[1], max(a[2], b[2])) for table, (a, b) in pairs.items()}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clickhouse.running_cluster() as servers, override_settings(CLICKHOUSE_CLUSTER="usage"):
        made = Cluster(servers)
        migrator.migrate(made.clients[0])
        yield made
        for client in (*made.clients, *made.shards):
            client.close()


@pytest.fixture
def on_the_cluster(cluster: Cluster, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process works on the cluster, whose tables are empty."""
    settings.CLICKHOUSE_CLUSTER = "usage"
    monkeypatch.setattr(clients, "_client", cluster.clients[0])
    for shard in cluster.shards:
        for table in retention.declared():
            shard.command(f"TRUNCATE TABLE {table}", tag="tests")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def test_a_migration_through_one_server_applies_to_all(cluster: Cluster) -> None:
    for client in cluster.clients:
        assert migrator.pending(client) == []
        assert migrator.plan(client) == []
    assert migrator.migrate(cluster.clients[1]) == []


def test_a_changed_setting_changes_the_tables_of_every_shard(cluster: Cluster, settings: Any) -> None:
    before = settings.TRAFFIC_RETENTION_MONTHS
    for months in (24, before):
        settings.TRAFFIC_RETENTION_MONTHS = months
        migrator.migrate(cluster.clients[0])
        for shard in cluster.shards:
            sql = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'traffic'"
            assert f"toIntervalMonth({months})" in shard.fetch(sql, tag="tests")[0][0]


def test_an_account_s_rows_are_all_on_one_shard_and_every_row_is_on_one(cluster: Cluster, now: datetime) -> None:
    rows = batch(500, over=timedelta(hours=30), now=now)

    cluster.clients[0].insert("inbox", rows, token="spread")

    assert cluster.found() == expected(rows)
    users = [cluster.users(shard) for shard in range(2)]
    assert all(users)
    assert users[0] & users[1] == set()
    assert users[0] | users[1] == set(USERS)
    for table in set(TARGETS) - {"requests"}:
        assert [cluster.users(shard, table) for shard in range(2)] == users


def test_a_repeated_batch_changes_no_shard_whichever_server_takes_it(cluster: Cluster, now: datetime) -> None:
    rows = batch(500, over=timedelta(hours=30), now=now)
    for client in (*cluster.clients, *cluster.clients):
        client.insert("inbox", rows, token="again")

    assert cluster.found() == expected(rows)


def test_a_batch_refused_by_one_shard_is_completed_when_it_is_sent_again(cluster: Cluster, now: datetime) -> None:
    rows = batch(500, over=timedelta(hours=30), now=now)
    cluster.servers[1].kill()
    try:
        with pytest.raises(EngineError):
            cluster.clients[0].insert("inbox", rows, token="half")
    finally:
        cluster.servers[1].start()
    assert cluster.users(1) == set()

    cluster.clients[0].insert("inbox", rows, token="half")

    assert cluster.found() == expected(rows)


def test_an_account_is_read_from_any_server_without_asking_the_other_shards(cluster: Cluster, now: datetime) -> None:
    cluster.clients[0].insert("inbox", batch(500, over=timedelta(hours=1), now=now), token="read")
    sql = "SELECT sum(rows) FROM traffic WHERE user_id = {user:UInt64}"
    for client in cluster.clients:
        assert [client.fetch(sql, {"user": user}, tag="tests") for user in USERS] == [[(100,)]] * 5
    user, user_elsewhere = cluster.users(0).pop(), cluster.users(1).pop()
    cluster.servers[1].kill()
    try:
        assert cluster.clients[0].fetch(sql, {"user": user}, tag="tests") == [(100,)]
        with pytest.raises(EngineError):
            cluster.clients[0].fetch(sql, {"user": user_elsewhere}, tag="tests")
    finally:
        cluster.servers[1].start()


def test_an_erased_account_is_gone_from_every_shard_and_the_others_are_not(
    cluster: Cluster, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An account's events may be on several shards, and these servers cannot add up a count over shards.
    of_accounts = {table: kept for table, kept in retention.declared().items() if table != "events"}
    monkeypatch.setattr(retention, "declared", lambda: of_accounts)
    rows = batch(500, over=timedelta(hours=1), now=now)
    cluster.clients[0].insert("inbox", rows, token="erase")
    user = cluster.users(1).pop()

    erased = erasure.erase_account(user)

    assert erased["traffic"] > 0
    assert cluster.users(0) | cluster.users(1) == set(USERS) - {user}
    assert not any(erasure.rows_held(user).values())


def test_an_account_s_reports_equal_its_rows(cluster: Cluster, now: datetime) -> None:
    cluster.clients[0].insert("inbox", batch(500, now=now, count=3), token="report")
    for user in USERS:
        assert reports.recent_usage(user, now).minute.requests == 300
        assert reports.first_bucket(user) is not None


def test_lifetime_bytes_are_summed_over_all_shards(cluster: Cluster, now: datetime) -> None:
    cluster.clients[0].insert("inbox", batch(500, now=now, bytes_sent=2, bytes_received=1), token="all")
    assert cluster.users(0)
    assert cluster.users(1)
    assert reports.lifetime_bytes({order: 1 + (order - 1) % 5 for order in range(1, 21)}) == dict.fromkeys(
        range(1, 21), 75
    )


def test_a_time_series_with_its_largest_groups_stays_on_the_application_s_shard(
    cluster: Cluster, now: datetime
) -> None:
    at = int(now.timestamp())
    for application in range(1, 7):
        cluster.clients[0].command(
            "INSERT INTO events (application_id, ts, event_id, user_id, consumer_id, method, url, function,"
            f" response_us, status_code) SELECT {application}, toDateTime({at}, 'UTC'), generateUUIDv4(), 1,"
            " concat('c', toString(number % 3)), 'GET', '/', 'f', 1, 200 FROM numbers(30)",
            tag="tests",
        )
    for application in range(1, 7):
        sql = Series(application, at, at + 1, now - timedelta(days=1), "count", None, Field("consumer_id"), {}, 2, 9)
        rows = cluster.clients[1].fetch(sql.to_sql().text, sql.to_sql().params, tag="tests")
        assert sum(row[3] for row in rows) == 30
        assert sorted(row[1] for row in rows) == ["", "c0", "c1"]
    assert all(shard.fetch("SELECT count() FROM events", tag="tests")[0][0] for shard in cluster.shards)
