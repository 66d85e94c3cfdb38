"""``make gateway``: the demo behind a real Squid."""

from __future__ import annotations

import base64
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from fonproxy_agent.check import problem_of_ending

from demo import gateway
from fonproxy.units import MIB
from tests.serving import ROOT, environment, free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.gateway

DIRECTORY = re.compile(r"logs are in (\S+)")
PROXY = re.compile(r"-x http://(\w+):(\w+)@127\.0\.0\.1:(\d+)")
PAUSE_SECONDS = 0.5
COMMAND = re.compile(r"curl (-x \S+ -o /dev/null \S+)")


class DemoProcess:
    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.output = data_dir / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo_gateway", f"--port={free_port()}", f"--proxy-port={free_port()}"],
                cwd=ROOT,
                env=environment(data_dir),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(self._has_started, seconds=900)
        except BaseException:
            self.stop()
            raise

    def _has_started(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return COMMAND.search(self.output.read_text()) is not None

    @property
    def directory(self) -> Path:
        return Path(DIRECTORY.findall(self.output.read_text())[0])

    def request(self, password: str | None = None) -> tuple[int, int]:
        """The printed command: returns the status and the received bytes."""
        [arguments] = COMMAND.findall(self.output.read_text())
        if password:
            arguments = re.sub(r"trial:\w+@", f"trial:{password}@", arguments)
        command = ["curl", "-s", "-w", "%{http_code} %{size_download}", *arguments.split()]
        # curl fails when its running connection is ended, and still reports the received bytes.
        status, size = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        return int(status), int(size)

    def is_refused(self) -> bool:
        time.sleep(PAUSE_SECONDS)  # each request that passes carries 5 MB
        return self.request()[0] == 403

    def tunnel(self, target: int) -> socket.socket:
        """A tunnel through the proxy to a port of this machine."""
        [(login, password, port)] = PROXY.findall(self.output.read_text())
        client = socket.create_connection(("127.0.0.1", int(port)), 60)
        credentials = base64.b64encode(f"{login}:{password}".encode()).decode()
        request = f"CONNECT localhost:{target} HTTP/1.1\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
        client.sendall(request.encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        return client

    def logged_bytes(self) -> int:
        """Bytes of both directions of all requests that Squid served, from its log."""
        lines = [line.split() for line in (self.directory / "access.log").read_text().splitlines()]
        return sum(int(line[4]) + int(line[-1]) for line in lines if line[7] == "trial" and "DENIED" not in line[3])

    def balance(self) -> int:
        return int(self.run(BALANCE))

    def wait_until_counted(self, granted: int) -> None:
        """Until the ledger has all that Squid has logged."""
        wait_for(lambda: granted - self.balance() == self.logged_bytes(), seconds=120)

    def run(self, script: str, *arguments: str) -> str:
        command = [sys.executable, "-c", script, *arguments]
        env = environment(self._data_dir)
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout.strip()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(300)


TOP_UP = """
import django, sys
django.setup()
from django.utils import timezone
from orders import services
from orders.models import LedgerReason, ProxyUser
order = ProxyUser.objects.get(login="trial").order
services.credit(order, LedgerReason.TOP_UP, int(sys.argv[1]), reference=None, author="test", now=timezone.now())
"""
BALANCE = """
import django
django.setup()
from orders import ledger
from orders.models import ProxyUser
print(ledger.balance(ProxyUser.objects.get(login="trial").order))
"""


CUSTOMER = """
import django
django.setup()
from orders.models import ProxyUser
print(ProxyUser.objects.get(login="trial").order.user_id)
"""


class Console:
    """The staff console of the demo, as a member of staff uses it."""

    STAFF = re.compile(r"Admin +(http://\S+)/admin/ +user admin, password (\w+)")
    TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')

    def __init__(self, demo: DemoProcess) -> None:
        [(self._url, password)] = self.STAFF.findall(demo.output.read_text())
        self._opener = build_opener(HTTPCookieProcessor())
        self.submit("/sign-in?next=/admin/", username="admin", password=password)

    def submit(self, path: str, **fields: str) -> str:
        """Opens the form and sends it; the page that follows."""
        with self._opener.open(f"{self._url}{path}", timeout=60) as answer:
            [token, *_] = self.TOKEN.findall(answer.read().decode())
        body = urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        with self._opener.open(f"{self._url}{path}", body, timeout=60) as answer:
            page: str = answer.read().decode()
            return page


class EndlessOrigin:
    """Accepts one connection and sends without end, some 2.5 MB a second."""

    PAUSE_SECONDS = 0.1
    PIECE = bytes(2**18)

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # otherwise the thread would accept the next connection
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            with client:
                while True:
                    client.sendall(self.PIECE)
                    time.sleep(self.PAUSE_SECONDS)


def read_until_ended(tunnel: socket.socket) -> int:
    """The number of bytes that arrived before the tunnel was ended."""
    size = 0
    with suppress(ConnectionResetError):
        while piece := tunnel.recv(2**16):
            size += len(piece)
    return size


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    demo = DemoProcess(tmp_path_factory.mktemp("demo"))
    try:
        yield demo
    finally:
        demo.stop()


def test_the_printed_request_passes_until_the_small_order_is_used_up(demo: DemoProcess) -> None:
    # Refused at first if FonProxy takes longer to respond than Squid's clients may wait.
    wait_for(lambda: demo.request() == (200, 5 * MIB))
    assert demo.request("wrong")[0] == 407
    for _ in range(3):
        assert demo.request()[0] == 200
    # Refused once the traffic has been counted; until then some more requests pass.
    wait_for(demo.is_refused, seconds=120)


def test_a_tunnel_ends_at_the_limit_and_every_byte_is_counted(demo: DemoProcess) -> None:
    assert problem_of_ending() == ""
    demo.wait_until_counted(granted=gateway.LIMIT_BYTES)  # what passed until the refusal
    top_up = 20 * MIB - demo.balance()
    demo.run(TOP_UP, str(top_up))
    wait_for(lambda: not demo.is_refused(), seconds=120)
    with closing(EndlessOrigin()) as origin, demo.tunnel(origin.port) as tunnel:
        carried = read_until_ended(tunnel)
    print(f"The tunnel carried {carried / MIB:.1f} MB of the 15 MB that were left for it.")  # noqa: T201  # to be read
    assert carried > 14 * MIB
    wait_for(demo.is_refused, seconds=120)
    demo.wait_until_counted(granted=gateway.LIMIT_BYTES + top_up)


def test_stopping_the_customer_ends_a_running_tunnel_and_undo_admits_it_again(demo: DemoProcess) -> None:
    demo.run(TOP_UP, str(2**30))
    wait_for(lambda: not demo.is_refused(), seconds=120)
    console, customer = Console(demo), demo.run(CUSTOMER)
    with closing(EndlessOrigin()) as origin, demo.tunnel(origin.port) as tunnel:
        assert tunnel.recv(2**16)
        started = time.monotonic()
        assert "Stopped everything for" in console.submit(f"/admin/customers/{customer}/stop/", note="abuse")
        carried = read_until_ended(tunnel)
        print(f"The tunnel ended {time.monotonic() - started:.1f} s after the form was opened.")  # noqa: T201  # to be read
    assert carried < 2**29  # ended by the stop, not because the order was used up
    wait_for(demo.is_refused, seconds=120)
    assert "can use what was stopped again." in console.submit(f"/admin/customers/{customer}/resume/")
    wait_for(lambda: not demo.is_refused(), seconds=120)
    assert demo.request() == (200, 5 * MIB)


def test_stopping_ends_every_process_and_deletes_the_files(demo: DemoProcess) -> None:
    directory = demo.directory
    assert demo.stop() == 0, demo.output.read_text()
    assert not directory.exists()
