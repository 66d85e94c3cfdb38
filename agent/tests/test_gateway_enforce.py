"""Running connections through a real Squid end when their login is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fonproxy_agent.check import problem_of_ending
from real_squid import origin, read_answer, real_squid, transfer
from running import running
from stand_in import StandIn, stand_in
from test_enforce import Feed

pytestmark = pytest.mark.gateway


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


def test_only_the_tunnels_of_a_stopped_login_end(tmp_path: Path, server: StandIn) -> None:
    assert problem_of_ending() == ""
    feed = Feed()
    server.answer = feed.answer
    with real_squid() as squid, origin() as target:
        config = tmp_path / "agent.toml"
        config.write_text(
            f"""
            url = "{server.url}"
            squid.manager = "{squid.url}"
            [enforce]
            stopped_file = "{tmp_path}/stopped"
            end_connections = "ss"
            interval_seconds = 0.2
            """
        )
        bad, good = squid.connect(target.port, "bad guy"), squid.connect(target.port, "good")
        for tunnel in (bad, good):
            read_answer(tunnel)
            transfer(tunnel, 1000)
        with running("enforce", "--config", str(config), FONPROXY_KEY="fnp_1"):
            feed.tell("o1", "exhausted", "bad guy")
            with pytest.raises(ConnectionResetError):
                assert bad.recv(1)
            transfer(good, 1000)
            feed.tell("o1", "active", "bad guy")
        bad.close()
        good.close()
