"""Backup and restore of PostgreSQL and a ClickHouse endpoint, by the same two commands."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import clickhouse, postgres
from tests.clickhouse import Endpoint
from tests.serving import ACCOUNTS, ROOT, Server, environment, manage, row

pytestmark = pytest.mark.stack


def test_both_services_are_restored_to_the_same_moment(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with postgres.running(postgres.required_programs()) as port, clickhouse.running() as endpoint:
        stores = {
            "DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres",
            "CLICKHOUSE_URL": f"{endpoint.url}/fonproxy",
            "FONPROXY_SECRET_KEY": "kept elsewhere " * 4,
        }
        with (data / "keys.json").open("wb") as keys:
            command = [sys.executable, "-c", ACCOUNTS]
            subprocess.run(command, cwd=ROOT, env=environment(data, **stores), stdout=keys, check=True)
        server = Server(data, **stores)
        acknowledged, before, after = _back_up_under_pushes(server, tmp_path / "backup", stores)
        server.stop()
        refused = manage(data, "restore", str(tmp_path / "backup"), **stores)
        assert (refused.returncode, "ClickHouse is not empty" in refused.stderr) == (1, True)

        subprocess.run(
            ["createdb", "--host=127.0.0.1", f"--port={port}", f"--username={postgres.USER}", "restored"], check=True
        )
        new = {"DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{port}/restored"}
        refused = manage(data, "serve", **stores | new)
        assert (refused.returncode, "the relational store has no user" in refused.stderr) == (1, True), refused.stderr
        endpoint.kill()
        second = Endpoint(endpoint.directory.with_name("second"))
        try:
            stores |= new
            stores["CLICKHOUSE_URL"] = f"{second.url}/fonproxy"
            restored = manage(data, "restore", str(tmp_path / "backup"), **stores)
            assert (restored.returncode, restored.stderr) == (0, "")
            server = Server(data, **stores)
            assert server.requests_of_alice() in range(before, after + 2)
            for number in range(acknowledged):
                assert _push(server, number) == 204
            assert server.requests_of_alice() == acknowledged
            server.stop()
        finally:
            second.kill()


TS = row()["ts"]


def _push(server: Server, number: int) -> int:
    return server.push(row(ts=TS), Idempotency_Key=f"push {number}").status


def _back_up_under_pushes(server: Server, directory: Path, stores: dict[str, str]) -> tuple[int, int, int]:
    """How many single requests were acknowledged in total: before the backup began, and when it had ended."""
    acknowledged: list[int] = []
    stop = threading.Event()

    def push_on() -> None:
        while not stop.is_set():
            assert _push(server, len(acknowledged)) == 204
            acknowledged.append(1)

    def push_more(number: int) -> int:
        wanted = len(acknowledged) + number
        while len(acknowledged) < wanted:
            assert pushing.is_alive()
            stop.wait(0.05)
        return len(acknowledged)

    pushing = threading.Thread(target=push_on)
    pushing.start()
    try:
        before = push_more(20)
        made = manage(server.data_dir, "backup", str(directory), **stores)
        after = len(acknowledged)
        push_more(20)
    finally:
        stop.set()
        pushing.join()
    assert made.returncode == 0, made.stderr
    return len(acknowledged), before, after
