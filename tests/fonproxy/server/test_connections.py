"""The web server with a tiny application: clients that are slow, silent or too many."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from struct import pack
from typing import Any

import pytest

from fonproxy.networks import network_of
from fonproxy.server import connection, listener, pace
from fonproxy.server.listener import HttpServer
from tests.serving import Answer
from tests.waiting import wait_for

LARGE = b"x" * 2**24
GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAIT_SECONDS = 30


class App:
    """Answers ``/large`` with 16 MiB, ``/count`` with how many of these were closed, the rest with its own body.

    ``/held`` waits for ``release`` first.
    """

    def __init__(self) -> None:
        self.closed = 0
        self.calls = 0
        self.is_holding, self.release = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.calls += 1
        path = environ["PATH_INFO"]
        if path == "/held":
            self.is_holding.set()
            assert self.release.wait(WAIT_SECONDS)
        body = {"/large": LARGE, "/count": str(self.closed).encode()}.get(path, environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return BodyParts(self, body)


class BodyParts:
    def __init__(self, app: App, body: bytes) -> None:
        self._app = app
        self._is_large = body is LARGE
        self._parts = (body[start : start + 2**20] for start in range(0, len(body), 2**20))

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self._app.closed += self._is_large


class Running:
    """The server in a thread of its own."""

    def __init__(self) -> None:
        self.app = App()
        self._server = HttpServer(self.app, "127.0.0.1", 0)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(WAIT_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._server.serve(self._stop)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._server.port), WAIT_SECONDS, (source, 0))

    def ask(self, path: bytes = b"x", source: str = "127.0.0.1") -> Answer:
        with self.connect(source) as client:
            client.sendall(GET % path)
            return Answer.read_from(client)

    def has_connections(self) -> bool:
        return bool(self._server._open)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    server = Running()
    yield server
    server.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 2**30)
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.3)


def everything(client: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    return b"".join(iter(lambda: client.recv(2**20), b""))


def test_clients_that_do_not_read_block_no_threads(running: Running) -> None:
    with ExitStack() as held:
        for _ in range(40):
            held.enter_context(running.connect()).sendall(GET % b"large" * 100)
        assert running.ask(source="127.0.0.2").status == 200


def test_clients_that_do_not_finish_a_body_block_no_threads(running: Running) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
    with ExitStack() as held:
        for _ in range(40):
            held.enter_context(running.connect()).sendall(head)
        assert running.ask(source="127.0.0.2").status == 200


@pytest.mark.usefixtures("impatient")
def test_a_client_that_does_not_read_is_cut_off_and_its_answer_closed(running: Running) -> None:
    with running.connect() as client:
        client.sendall(GET % b"large")
        while running.ask(b"count").body == b"0":
            pass
        assert len(everything(client)) < len(LARGE)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("start", [b"GET", b"GET / HTTP/1.1\r\nHost: loc", b"POST / HTTP/1.1\r\nHost: l\r\nX: "])
def test_a_head_has_to_arrive_in_time(running: Running, start: bytes) -> None:
    with running.connect() as client:
        client.sendall(start)
        assert everything(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_a_body_has_to_arrive_in_time(running: Running, framing: bytes) -> None:
    with running.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n1" % framing)
        assert everything(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"", GET % b"x"])
def test_a_connection_that_lies_idle_is_closed(running: Running, sent: bytes) -> None:
    with running.connect() as client:
        client.sendall(sent)
        assert everything(client).count(b"HTTP/1.1") == bool(sent)


def test_the_time_limit_grows_with_the_bytes_transferred() -> None:
    assert pace.patience(0) == 10
    assert pace.patience(64 * 2**20) == 10 + 1024


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    bodies = [str(number).encode() for number in range(50)]
    requests = (b"POST / HTTP/1.1\r\nHost: l\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)
    with running.connect() as client:
        client.sendall(b"".join(requests))
        client.shutdown(socket.SHUT_WR)
        answers = everything(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == bodies


def test_pipelined_requests_of_a_disconnected_client_are_dropped(running: Running) -> None:
    with running.connect() as client:
        client.sendall(GET % b"held" + GET % b"x" * 50)
        assert running.app.is_holding.wait(WAIT_SECONDS)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))  # closing resets the connection
    assert running.ask(source="127.0.0.2").status == 200  # by now the server has read the reset
    running.app.release.set()
    wait_for(lambda: not running.has_connections())
    assert running.app.calls == 2


def test_connections_are_limited_per_address(running: Running, settings: Any) -> None:
    settings.CONNECTIONS_PER_ADDRESS = 20
    with ExitStack() as held:
        for _ in range(20):
            assert answered(held.enter_context(running.connect("127.0.0.2"))) == 200
        refused = held.enter_context(running.connect("127.0.0.2"))
        assert everything(refused).startswith(b"HTTP/1.1 429 ")
        assert running.ask(source="127.0.0.3").status == 200
    while status_if_let_in(running) != 200:  # until the server has noticed that they have gone
        pass


def answered(client: socket.socket) -> int:
    client.sendall(GET % b"x")
    return Answer.read_from(client).status


def status_if_let_in(running: Running) -> int:
    try:
        return running.ask(source="127.0.0.2").status
    except OSError:
        return 0


def test_with_too_many_connections_the_longest_idle_one_is_closed(running: Running, settings: Any) -> None:
    settings.CONNECTIONS = 20
    with ExitStack() as held:
        clients = [held.enter_context(running.connect(f"127.0.1.{number}")) for number in range(20)]
        assert [answered(client) for client in clients] == [200] * 20
        assert running.ask().status == 200
        assert clients[0].recv(1) == b""
        assert answered(clients[-1]) == 200


def test_connections_are_counted_by_the_network_of_one_subscriber() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1:2:3") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == "fe80::"


def test_the_open_file_limit_is_raised_to_the_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 2000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: calls.append(limits))
    listener._allow_files(5000)
    listener._allow_files(500)
    assert calls == [(2000, 2000)]
