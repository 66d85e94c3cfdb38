"""``manage.py serve`` as a process: how it starts, refuses to start, stops, dies and comes back."""

from __future__ import annotations

import signal
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from http.client import HTTPException
from pathlib import Path
from resource import getpagesize
from struct import unpack
from termios import TIOCOUTQ

import pytest

from tests.engines import embedded_only
from tests.serving import Answer, Server, body_of, free_port, manage, row

SETTINGS = {"FONPROXY_DEBUG": "yes", "FONPROXY_THREADS": "16.0", "FONPROXY_THROTTLE_READ": "5/fortnight"}


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fonproxy-serve-") as name:
        yield Path(name)


def said(stderr: str) -> str:
    """The last line of output, which is the one that people read."""
    return stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_an_invalid_setting_stops_the_server_with_a_message(data_dir: Path, name: str, value: str) -> None:
    ended = manage(data_dir, "check", **{name: value})
    assert ended.returncode != 0
    assert f"{name} must be " in said(ended.stderr)
    assert said(ended.stderr).endswith(f"not {value!r}.")


def test_a_misspelt_setting_is_not_ignored(data_dir: Path) -> None:
    ended = manage(data_dir, "serve", FONPROXY_THROTLE_READ="5/min")
    assert ended.returncode != 0
    assert "Unknown setting FONPROXY_THROTLE_READ. Known settings: " in said(ended.stderr)


@embedded_only
def test_a_second_server_on_the_same_data_is_refused_with_a_message(server: Server) -> None:
    ended = manage(server.data_dir, "serve", "--port", str(free_port()))
    assert ended.returncode == 1
    assert said(ended.stderr).startswith("CommandError: Another FonProxy process is using the data in ")
    assert "Traceback" not in ended.stderr
    assert server.call("GET", "/readyz").status == 200


def test_a_port_in_use_is_reported_in_one_sentence(data_dir: Path, server: Server) -> None:
    ended = manage(data_dir, "serve", "--port", str(server.port))
    assert (ended.returncode, said(ended.stderr)) == (
        1,
        f"CommandError: Cannot listen on 127.0.0.1:{server.port}: Address already in use.",
    )
    assert "Traceback" not in ended.stderr


def test_it_listens_on_the_loopback_address_only(server: Server) -> None:
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    addresses = {line.split()[1] for line in listening.splitlines() if f":{server.port:04X} " in line.split(" 0A ")[0]}
    assert {address for address in addresses if address.endswith(f":{server.port:04X}")} == {
        f"0100007F:{server.port:04X}"
    }


@pytest.mark.processes
@embedded_only
def test_at_rest_it_uses_less_than_300_mb(data_dir: Path) -> None:
    server = Server(data_dir)
    resident_pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    assert server.stop().code == 0
    assert resident_pages * getpagesize() < 300_000_000


@pytest.mark.processes
def test_requests_under_way_are_answered_before_it_ends(data_dir: Path) -> None:
    domain = f"{uuid.uuid4().hex}.example"
    first = Server(data_dir)
    body = body_of(*[row(domain=domain)] * 30_000)
    head = (
        "POST /analytics/ingest HTTP/1.1\r\nHost: localhost\r\n"
        f"x-api-key: {first.keys['INGEST_KEY']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with first.connect() as idle, first.connect() as busy, first.connect() as incomplete:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert Answer.read_from(idle).status == 200
        incomplete.sendall(head.encode() + body[:1000])
        busy.sendall(head.encode() + body)
        wait_until_delivered(busy)
        first.process.send_signal(signal.SIGTERM)
        assert Answer.read_from(busy).status == 204
        ended = first.stop()
    assert (ended.code, "Traceback" in ended.logs) == (0, False)
    second = Server(data_dir)
    assert second.requests_of_alice(domain) == 30_000
    assert second.stop(signal.SIGINT).code == 0


def wait_until_delivered(connection: socket.socket) -> None:
    """Waits until the other side's kernel has everything that was sent."""
    while unpack("i", ioctl(connection.fileno(), TIOCOUTQ, b"\0" * 4)) != (0,):
        threading.Event().wait(0.005)


@pytest.mark.processes
@embedded_only  # elsewhere a peer may be alive, so the dead one's claims are left for a minute
def test_a_killed_server_neither_loses_nor_doubles_an_acknowledged_batch(data_dir: Path) -> None:
    """Four workers push while it is killed; each repeats its unanswered pushes under the same key."""
    domain = f"{uuid.uuid4().hex}.example"
    current = Server(data_dir)
    pushed = threading.Semaphore(0)
    is_back = threading.Event()
    statuses: list[int] = []

    def work(number: int) -> None:
        for batch in range(20):
            body = body_of(*[row(domain=domain)] * 50)
            answer = None
            while answer is None:
                with suppress(OSError, HTTPException):
                    answer = current.post(body, Idempotency_Key=f"{number}-{batch}")
                if answer is None:
                    assert is_back.wait(60)
            statuses.append(answer.status)
            pushed.release()

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(30):
        assert pushed.acquire(timeout=60)
    assert current.stop(signal.SIGKILL).code == -signal.SIGKILL
    current = Server(data_dir)
    is_back.set()
    for worker in workers:
        worker.join(60)
    assert statuses == [204] * 80
    assert current.requests_of_alice(domain) == 80 * 50
    assert current.stop().code == 0
