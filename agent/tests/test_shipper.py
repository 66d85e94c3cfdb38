"""The shipper alone, for tests that depend on an exact state of the log."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fonproxy_agent.client import AgentClient
from fonproxy_agent.files import LogFile, Rotation
from fonproxy_agent.metrics import MetricsFile
from fonproxy_agent.shipper import Shipper
from fonproxy_agent.squid import lines
from fonproxy_agent.state import Identity
from fonproxy_agent.waiting import Cancellation
from stand_in import stand_in

LOOKS = 100  # more than any run needs


def test_the_first_lines_may_be_written_while_the_log_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "access.log"
    log.touch()
    line = f"{time.time():.3f} 5 192.0.2.1 TCP_TUNNEL/200 100 CONNECT a.example:443 alice HIER_DIRECT/192.0.2.9 -\n"
    cancellation = Cancellation()
    looks: list[Identity] = []
    recognise = Rotation.identity

    def identity(rotation: Rotation, file: LogFile) -> Identity:
        """The lines appear after the second look, which starts the first chunk, and before the log is read."""
        looks.append(recognise(rotation, file))
        if len(looks) == 2:
            log.write_text(line * 3)
        cancellation.is_set |= len(looks) == LOOKS
        return looks[-1]

    monkeypatch.setattr(Rotation, "identity", identity)
    with stand_in() as server:
        Shipper(
            Rotation(log, lines.time_of),
            lines.parse,
            AgentClient(server.url, "fnp_1"),
            worker="w",
            is_raw=False,
            follow=False,
            delete_finished=False,
            skip_unreadable=False,
            sessions=None,
            metrics=MetricsFile("", "ship"),
            cancellation=cancellation,
        ).run()
        assert sum(row["count"] for row in server.rows) == 3
    assert len(looks) < LOOKS
