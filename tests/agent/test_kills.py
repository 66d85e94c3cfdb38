"""The shipper and the server are killed at random times; in the end every line is counted once."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.agent.sample import independent_count, whole_log
from tests.agent.shipping import counted, sign_in, start
from tests.serving import Server, free_port

pytestmark = pytest.mark.torture
KILLS = 20
# So that shipping takes longer than the kills, with several chunks between two of them.
CHUNK_LINES = 15
# Restarting the server takes seconds already.
SERVER_CHUNK_LINES = 150


class SamePort(Server):
    """After a restart it listens on the same port."""

    port = free_port()

    def __setattr__(self, name: str, value: object) -> None:
        if name != "port":
            super().__setattr__(name, value)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "settings").mkdir()
    log = tmp_path / "access.log"
    log.write_bytes(whole_log())
    return log


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fonproxy-serve-") as name:
        yield Path(name)


def kill_when(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether it had to be killed; False if it had already ended."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0
    return False


@pytest.mark.parametrize("seed", [1])
def test_a_shipper_that_is_killed_again_and_again_ships_every_line_once(log: Path, data_dir: Path, seed: int) -> None:
    random = Random(seed)
    server = Server(data_dir)
    key = server.keys["INGEST_KEY"]
    killed = sum(
        kill_when(start(log, server.url, key, lines=CHUNK_LINES), random.uniform(0.6, 1.2)) for _ in range(KILLS)
    )
    assert killed == KILLS, "the log was shipped before the last kill: choose smaller chunks"
    assert not kill_when(start(log, server.url, key), 300)
    assert counted(server, sign_in(server)) == independent_count(log.read_bytes())
    server.stop()


@pytest.mark.parametrize("seed", [2])
def test_a_killed_shipper_and_a_killed_server_ship_every_line_once(log: Path, data_dir: Path, seed: int) -> None:
    random = Random(seed)
    server = SamePort(data_dir)
    key = server.keys["INGEST_KEY"]
    shipper = start(log, server.url, key, lines=SERVER_CHUNK_LINES)
    for _ in range(KILLS):
        time.sleep(random.uniform(0.2, 2.0))
        victim = random.choice(["shipper", "server", "both"])
        if victim != "server" and kill_when(shipper, 0):
            shipper = start(log, server.url, key, lines=SERVER_CHUNK_LINES)
        if victim != "shipper":
            assert server.stop(signal.SIGKILL).code == -signal.SIGKILL
            server = SamePort(data_dir)
    assert not kill_when(shipper, 300)
    assert not kill_when(start(log, server.url, key), 300)
    assert counted(server, sign_in(server)) == independent_count(log.read_bytes())
    server.stop()
