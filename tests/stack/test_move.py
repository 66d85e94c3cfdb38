"""``manage.py move``: to services and back, killed on the way, and refused where it must be."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fonproxy.clickhouse.address import Address
from fonproxy.clickhouse.native import NativeClient
from tests import clickhouse, postgres
from tests.clickhouse import Endpoint
from tests.serving import ROOT, Server, environment, manage, row, with_accounts

pytestmark = pytest.mark.stack

# Besides the accounts: static IPs, an action of a staff member, a deleted user, single requests without a duration, two
# unfinished batches of a killed process, and a row in every other table.
FILLED = """
import json, sys, django
django.setup()
from datetime import timedelta
from django.utils import timezone
from accounts.models import AuditRecord, User
from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.ingest import journal
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
from geo.models import StaticIp
from tests import every_table
migrator.migrate(get_client())
now = timezone.now()
StaticIp.objects.bulk_create(
    StaticIp(address=f"10.{n // 65536}.{n // 256 % 256}.{n % 256}", geoip_country="de", proxy_type="server-static")
    for n in range(5000)
)
AuditRecord.objects.create(at=now, action="created", kind="user", number=1)
User.objects.create_user("gone").delete()
traffic, requests = sys.argv[1].encode(), sys.argv[2].encode()
for is_sent in (True, False):
    origin = journal.BatchOrigin(None, IngestBatch.Route.TRAFFIC)
    batch, _ = journal.record(origin, to_inbox(traffic, now), now=now, claimed=True)
    if is_sent:
        block, _ = journal.form_block([batch.pk], now)
        get_client().insert("inbox", journal.unpack(bytes(batch.columns)), token=str(block.id))
origin = journal.BatchOrigin(None, IngestBatch.Route.LOG)
journal.record(origin, to_request_inbox(requests, now), now=now, claimed=False)
every_table.fill()
close_client()
"""
KILLED = """
import os, signal, sys, django
django.setup()
from unittest import mock
from django.core.management import call_command
from fonproxy.move import engine
copy, copied = engine.copy, []
def copy_some(*arguments):
    if len(copied) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    copied.append(copy(*arguments))
    return copied[-1]
with mock.patch("fonproxy.move.engine.copy", copy_some):
    call_command("move", to_database=sys.argv[1], to_clickhouse=sys.argv[2])
"""


@dataclass(frozen=True)
class Services:
    """Private servers; each test takes databases of its own on them."""

    port: int
    endpoint: Endpoint

    def new(self, name: str) -> dict[str, str]:
        """The settings of an installation on empty databases of this name."""
        made = ["createdb", "--host=127.0.0.1", f"--port={self.port}", f"--username={postgres.USER}", name]
        subprocess.run(made, check=True)
        return {
            "DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{self.port}/{name}",
            "CLICKHOUSE_URL": f"{self.endpoint.url}/{name}",
        }


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with postgres.running(postgres.required_programs()) as port, clickhouse.running() as endpoint:
        yield Services(port, endpoint)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of an installation that no process runs; tests copy it."""
    data = tmp_path_factory.mktemp("small") / "data"
    with_accounts(data)
    now = datetime.now(UTC)
    month_ago = (now - timedelta(days=32)).strftime("%Y-%m-%d %H:%M:%S")
    traffic = json.dumps({"logs": [row(count=7, domain="example.com", ip_out="2001:db8::7"), row(ts=month_ago)]})
    requests = json.dumps({"logs": [_request(now, log_total_elapsed_ms=12), _request(now)]})
    command = [sys.executable, "-c", FILLED, traffic, requests]
    subprocess.run(command, cwd=ROOT, env=environment(data), check=True)
    return data


@pytest.fixture
def small(filled: Path, tmp_path: Path) -> Path:
    shutil.copytree(filled, tmp_path / "small", symlinks=True)
    return tmp_path / "small"


def _request(at: datetime, **fields: Any) -> dict[str, Any]:
    usual = {"proxy_user_id": "alice", "log_protocol": "http", "log_method": "CONNECT", "log_hostname": "example.com"}
    return {"log_request_datetime": at.isoformat(), **usual, "log_status_code": 200, **fields}


def _move(data: Path, new: dict[str, str], *options: str, **stores: str) -> subprocess.CompletedProcess[str]:
    """Moves the installation of this directory, whose stores are there unless others are given."""
    to = ["--to-database", new["DATABASE_URL"], "--to-clickhouse", new["CLICKHOUSE_URL"]]
    return manage(data, "move", *to, *options, **stores)


def _contents(data: Path) -> dict[str, list[str]]:
    """Every table of SQLite with its rows in order, including the id counters."""
    with sqlite3.connect(data / "fonproxy.sqlite3") as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        names.remove("django_migrations")  # migration times belong to the new store
        counters = "SELECT name, seq FROM sqlite_sequence WHERE seq > 0 AND name != 'django_migrations'"
        tables = {name: f"SELECT * FROM {name}" for name in names} | {"sqlite_sequence": counters}
        return {name: sorted(map(str, database.execute(sql))) for name, sql in tables.items()}


def test_an_installation_is_the_same_after_moving_up_and_back(small: Path, services: Services, tmp_path: Path) -> None:
    new = services.new("up")
    moved = _move(small, new)
    assert moved.returncode == 0, moved.stderr
    assert "static_ips: 5,000 rows, the same on both sides" in moved.stdout
    assert "requests: 2 rows, 2 requests, the same on both sides" in moved.stdout

    back = manage(small, "move", "--to-data-dir", str(tmp_path / "back"), **new)
    assert back.returncode == 0, back.stderr
    before = _contents(small)
    assert [name for name, rows in before.items() if not rows] == []
    assert _contents(tmp_path / "back") == before

    shutil.copy(small / "keys.json", tmp_path / "back")
    totals = []
    for directory, stores in ((small, {}), (small, new), (tmp_path / "back", {})):
        server = Server(directory, **stores)
        try:
            totals.append(server.requests_of_alice())  # under the earlier key
        finally:
            server.stop()
    assert totals == [7 + 7 + 2] * 3


def test_services_move_to_other_servers_of_their_kind_and_nothing_changes(
    small: Path, services: Services, tmp_path: Path
) -> None:
    first, second = services.new("first"), services.new("second")
    moved = _move(small, first)
    assert moved.returncode == 0, moved.stderr
    across = _move(small, second, **first)
    assert across.returncode == 0, across.stderr
    assert "static_ips: 5,000 rows, the same on both sides" in across.stdout
    assert "requests: 2 rows, 2 requests, the same on both sides" in across.stdout
    back = manage(small, "move", "--to-data-dir", str(tmp_path / "back"), **second)
    assert back.returncode == 0, back.stderr
    assert _contents(tmp_path / "back") == _contents(small)


def test_triggers_and_counters_of_ids_are_at_work_after_the_move(small: Path, services: Services) -> None:
    new = services.new("triggers")
    moved = _move(small, new)
    assert moved.returncode == 0, moved.stderr
    with sqlite3.connect(small / "fonproxy.sqlite3") as before:
        [(last,)] = before.execute("SELECT seq FROM sqlite_sequence WHERE name = 'accounts_user'")
        [(highest,)] = before.execute("SELECT max(id) FROM accounts_user")
    assert last > highest
    with psycopg.connect(new["DATABASE_URL"], autocommit=True) as after:
        [next_id] = after.execute("SELECT nextval(pg_get_serial_sequence('accounts_user', 'id'))").fetchone() or ()
        assert next_id == last + 1
        for refused in (
            "UPDATE audit_records SET action = 'other'",
            "DELETE FROM audit_records",
            "DELETE FROM ledger_entries",
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                after.execute(refused)


def test_a_killed_move_continues_where_it_was(small: Path, services: Services) -> None:
    new = services.new("killed")
    command = [sys.executable, "-c", KILLED, new["DATABASE_URL"], new["CLICKHOUSE_URL"]]
    killed = subprocess.run(command, cwd=ROOT, env=environment(small), check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    refused = manage(small, "serve", **new)
    assert (refused.returncode, "A move to this ClickHouse" in refused.stderr) == (1, True), refused.stderr

    in_all = int(_to_be_copied(killed.stdout))
    moved = _move(small, new)
    assert moved.returncode == 0, moved.stderr
    assert int(_to_be_copied(moved.stdout)) == in_all - 3
    again = _move(small, new)
    assert (again.returncode, "has rows, which are not overwritten" in again.stderr) == (1, True)


def _to_be_copied(printed: str) -> str:
    found = re.search(r"rows in (\d+) partitions are to be copied", printed)
    assert found, printed
    return found[1]


def test_a_target_with_data_is_refused_and_stays_as_it_is(small: Path, services: Services) -> None:
    new = services.new("taken")
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=environment(small, **new), check=True
    )
    with psycopg.connect(new["DATABASE_URL"]) as database:
        database.execute("INSERT INTO geo_revisions (kind, number) VALUES ('counts', 41)")
    refused = _move(small, new)
    assert (refused.returncode, "has data, which is not overwritten" in refused.stderr) == (1, True)
    with psycopg.connect(new["DATABASE_URL"]) as database:
        assert database.execute("SELECT kind, number FROM geo_revisions").fetchall() == [("counts", 41)]


def test_a_copy_made_before_the_stop_is_completed_without_loss_or_duplicates(small: Path, services: Services) -> None:
    new = services.new("ahead")
    server = Server(small)
    stop = threading.Event()
    acknowledged: list[int] = []
    ts = row()["ts"]

    def push_on() -> None:
        while not stop.is_set():
            assert server.push(row(ts=ts), Idempotency_Key=f"push {len(acknowledged)}").status == 204
            acknowledged.append(1)

    pushing = threading.Thread(target=push_on)
    pushing.start()
    try:
        running = _move(small, new)
        ahead = _move(small, new, "--ahead")
    finally:
        stop.set()
        pushing.join()
        server.stop()
    assert (running.returncode, "A FonProxy process is running" in running.stderr) == (1, True), running.stderr
    assert ahead.returncode == 0, ahead.stderr
    assert "Stop every FonProxy process and run the same command without --ahead: about" in ahead.stdout
    assert int(_to_be_copied(ahead.stdout)) > int(_to_be_copied((completed := _move(small, new)).stdout)) > 0
    assert completed.returncode == 0, completed.stderr
    server = Server(small, **new)
    try:
        assert server.requests_of_alice() == 16 + len(acknowledged)
        for number in range(len(acknowledged)):
            assert server.push(row(ts=ts), Idempotency_Key=f"push {number}").status == 204
        assert server.requests_of_alice() == 16 + len(acknowledged)
    finally:
        server.stop()


def test_a_database_alone_moves_and_refuses_while_others_are_connected(
    small: Path, services: Services, tmp_path: Path
) -> None:
    new = services.new("alone")
    moved = manage(small, "move", "--to-database", new["DATABASE_URL"])
    assert moved.returncode == 0, moved.stderr
    # Back, from PostgreSQL beside the embedded engine: its files are copied.
    stores = {"DATABASE_URL": new["DATABASE_URL"]}
    with psycopg.connect(new["DATABASE_URL"]):
        refused = manage(small, "move", "--to-data-dir", str(tmp_path / "back"), **stores)
    assert (refused.returncode, "other connections to the database are open" in refused.stderr) == (1, True)
    back = manage(small, "move", "--to-data-dir", str(tmp_path / "back"), **stores)
    assert back.returncode == 0, back.stderr
    assert _contents(tmp_path / "back") == _contents(small)
    shutil.copy(small / "keys.json", tmp_path / "back")
    server = Server(tmp_path / "back")
    try:
        assert server.requests_of_alice() == 16
    finally:
        server.stop()


def test_rows_move_to_their_shards_of_a_cluster_whose_tables_are_there(small: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with clickhouse.running_cluster() as shards:
        new = {"CLICKHOUSE_URL": f"{shards[0].url}/fonproxy", "CLICKHOUSE_CLUSTER": "usage"}
        for command in ("migrate", "clickhouse_migrate"):
            made = manage(tmp_path / "new", command, **new)
            assert made.returncode == 0, made.stderr
        moved = manage(small, "move", "--to-clickhouse", new["CLICKHOUSE_URL"])
        assert moved.returncode == 0, moved.stderr
        assert "requests: 2 rows, 2 requests, the same on both sides" in moved.stdout
        held = [_requests_on(shard) for shard in shards]
    assert sorted(held) == [0, 2]  # of one account


def _requests_on(shard: Endpoint) -> int:
    client = NativeClient(Address.parse(f"{shard.url}/fonproxy_shard"))
    try:
        [(count,)] = client.fetch("SELECT count() FROM requests", tag="tests")
        return int(count)
    finally:
        client.close()
