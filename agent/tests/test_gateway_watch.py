"""Bytes through a real Squid are counted once, while requests run and when they end, across any kills."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from counting import Counting
from real_squid import RealSquid, origin, read_answer, real_squid, transfer
from running import run_agent, wait_for
from stand_in import StandIn, stand_in

pytestmark = pytest.mark.gateway

KILLS = 20
ANSWER_TO_CONNECT = len(b"HTTP/1.1 200 Connection established\r\n\r\n")


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def squid() -> Iterator[RealSquid]:
    with real_squid() as squid:
        yield squid


class Agents:
    """``watch`` and ``ship``, restarted whenever they were killed."""

    def __init__(self, directory: Path, server: StandIn, squid: RealSquid) -> None:
        self._config = directory / "agent.toml"
        self._config.write_text(
            f"""
            url = "{server.url}"
            squid.manager = "{squid.url}"
            ship = {{file = "{squid.log}", follow = true, watched = true}}
            watch = {{database = "{directory}/sessions.sqlite3", interval_seconds = 0.2}}
            """
        )
        self._processes = {name: self._start(name) for name in ("watch", "ship")}

    def kill(self, name: str) -> None:
        self._processes[name].kill()
        self._processes[name].communicate()
        self._processes[name] = self._start(name)

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        said = [process.communicate()[1] for process in self._processes.values()]
        assert [process.returncode for process in self._processes.values()] == [0, 0], said

    def _start(self, name: str) -> subprocess.Popen[str]:
        command = ["ship", "squid"] if name == "ship" else [name]
        return run_agent(*command, "--config", str(self._config), FONPROXY_KEY="fnp_1")


def test_a_tunnel_counts_while_it_runs(tmp_path: Path, server: StandIn, squid: RealSquid) -> None:
    counting = Counting(server)
    agents = Agents(tmp_path, server, squid)
    with origin() as target, squid.connect(target.port, "al ice") as tunnel:
        read_answer(tunnel)
        transfer(tunnel, 1_000_000)
        wait_for(lambda: counting.received() == {"al ice": 1_000_000 + ANSWER_TO_CONNECT})
        transfer(tunnel, 500_000)
        tunnel.close()
        wait_for(lambda: counting.received() == {"al ice": 1_500_000 + ANSWER_TO_CONNECT})
        assert counting.requests() == {"al ice": 1}
    wait_for(lambda: any(session.get("ended") for _, body in server.called for session in body["samples"]))
    assert counting.received() == {"al ice": 1_500_000 + ANSWER_TO_CONNECT}
    assert counting.requests() == {"al ice": 1}
    agents.stop()


@pytest.mark.parametrize("seed", [1])
def test_kills_rotations_and_outages_change_no_count(
    tmp_path: Path, server: StandIn, squid: RealSquid, seed: int
) -> None:
    random = Random(seed)
    counting = Counting(server)
    agents = Agents(tmp_path, server, squid)
    expected: Counter[str] = Counter()
    tunnels = []
    with origin() as target:
        for kill in range(KILLS):
            login = random.choice(["alice", "bob", "carol"])
            tunnel = squid.connect(target.port, login)
            read_answer(tunnel)
            tunnels.append((login, tunnel))
            expected[login] += ANSWER_TO_CONNECT
            for login, tunnel in random.sample(tunnels, min(3, len(tunnels))):
                size = random.randint(1, 300_000)
                transfer(tunnel, size)
                expected[login] += size
            time.sleep(random.uniform(0, 0.6))
            if len(tunnels) > 5:
                tunnels.pop(random.randrange(5))[1].close()
            counting.is_away = kill % 5 == 3
            if kill in (7, 14):
                os.rename(squid.log, f"{squid.log}.{kill}")
                squid.reopen_log()
            agents.kill(random.choice(["watch", "ship"]))
        counting.is_away = False
        for _, tunnel in tunnels:
            tunnel.close()
        wait_for(lambda: counting.requests().total() == KILLS and counting.received() == expected, 90)
        agents.stop()
    assert counting.received() == expected
    assert counting.requests().total() == KILLS
