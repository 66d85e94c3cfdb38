"""Replicated tables while their ZooKeeper is away: pushes wait, and each is counted once afterwards."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from tests import clickhouse, keeper
from tests.keeper import ZooKeeper
from tests.serving import Server, row
from tests.waiting import wait_for

pytestmark = pytest.mark.stack


class Pusher:
    """Pushes one row after another, each until it is acknowledged, half of them without waiting to be readable."""

    def __init__(self, server: Server) -> None:
        self._server, self._stopping = server, threading.Event()
        self.acknowledged = 0
        self._ts = row()["ts"]
        self._thread = threading.Thread(target=self._push_on)

    def __enter__(self) -> Pusher:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _push_on(self) -> None:
        while not self._stopping.is_set():
            number = self.acknowledged
            preference = {"Prefer": "respond-async"} if number % 2 else {}
            answer = self._server.push(row(ts=self._ts), Idempotency_Key=f"push {number}", **preference)
            if answer.status == HTTPStatus.NO_CONTENT:
                self.acknowledged += 1

    def wait_for_more(self) -> None:
        before = self.acknowledged
        wait_for(lambda: self.acknowledged > before + 5, 120)


@contextmanager
def _replicated(zookeeper: ZooKeeper, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(keeper.VARIABLE, str(zookeeper.port))
    directory.mkdir()
    with clickhouse.running() as endpoint:
        stores = {"CLICKHOUSE_URL": f"{endpoint.url}/fonproxy", "FONPROXY_CLICKHOUSE_REPLICATED": "true"}
        server = Server(directory, **stores)
        try:
            yield server
        finally:
            server.stop()


def test_pushes_while_zookeeper_is_unavailable_are_kept_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keeper.running() as zookeeper, _replicated(zookeeper, tmp_path / "server", monkeypatch) as server:
        with Pusher(server) as pusher:
            for _ in range(3):
                pusher.wait_for_more()
                zookeeper.kill()
                pusher.wait_for_more()
                zookeeper.start()
            pusher.wait_for_more()
        server.wait_until_readable()
        assert server.requests_of_alice() == pusher.acknowledged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty directory of two megabytes."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_of_zookeeper_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_disk: Path
) -> None:
    with keeper.running(small_disk) as zookeeper, _replicated(zookeeper, tmp_path / "server", monkeypatch) as server:
        with Pusher(server) as pusher:
            pusher.wait_for_more()
            filler = small_disk / "filler"
            subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True)
            wait_for(lambda: zookeeper.process.poll() is not None, 120)  # it ends on its own
            pusher.wait_for_more()
            filler.unlink()
            zookeeper.start()
            pusher.wait_for_more()
        server.wait_until_readable()
        assert server.requests_of_alice() == pusher.acknowledged
