"""Behaviour of the embedded engine only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.embedded import EmbeddedClient
from tests.engines import embedded_only

pytestmark = embedded_only


def test_connections_of_ended_threads_are_closed(engine: Client) -> None:
    assert isinstance(engine, EmbeddedClient)
    for _ in range(5):
        thread = threading.Thread(target=lambda: engine.fetch("SELECT 1", tag="tests"))
        thread.start()
        thread.join()

    assert len([owner for owner in engine._connections if not owner.is_alive()]) <= 1


def test_a_moment_before_1970_keeps_its_fraction(engine: Client) -> None:
    """Only here: the driver shifts such a time by a second. No table has one."""
    moment = datetime(1969, 1, 1, 23, 59, 59, 250_000, UTC)
    assert engine.fetch("SELECT {moment:DateTime64(3, 'UTC')}", {"moment": moment}, tag="tests") == [(moment,)]


def _python(code: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own: one process opens one engine."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env={**os.environ, "FONPROXY_DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "fonproxy.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_second_process_learns_which_process_holds_the_directory(engine: Client) -> None:
    result = _python(
        "from fonproxy.clickhouse.client import get_client\n"
        "from fonproxy.clickhouse.errors import EngineUnavailable\n"
        "try: get_client()\n"
        "except EngineUnavailable as error: print(error)\n",
        settings.DATA_DIR,
    )

    assert result.stdout.startswith("Another FonProxy process is using the data in"), result.stderr
    assert str(settings.DATA_DIR) in result.stdout


def test_closing_while_queries_run_ends_the_process_cleanly(tmp_path: Path) -> None:
    result = _python(
        """
import threading, time
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineUnavailable
client = get_client()
endings = []
def read():
    try: client.fetch("SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))", tag="t")
    except EngineUnavailable as error: endings.append(error)
threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads: thread.start()
running = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%'"  # itself among them
while client.fetch(running, tag="t") != [(4,)]: time.sleep(0.02)
close_client()
for thread in threads: thread.join()
try: client.fetch("SELECT 1", tag="t")
except EngineUnavailable as error: print(len(endings), error)
print(get_client().fetch("SELECT 2", tag="t"))
close_client()
""",
        tmp_path,
    )

    assert result.stdout == "3 The engine of this process is closed.\n[(2,)]\n", result.stderr
    assert result.returncode == 0
