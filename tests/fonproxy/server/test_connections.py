"""The web server with a tiny application: clients that are slow, silent or too many."""

from __future__ import annotations

import asyncio
import resource
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from struct import pack
from typing import Any

import pytest
from django.conf import settings

from fonproxy.networks import network_of
from fonproxy.server import connection, listener, pace
from fonproxy.server.bodies import RequestBody
from fonproxy.server.lanes import PER_ADDRESS
from tests.fonproxy.server.running import WAIT_SECONDS, RunningServer
from tests.serving import Answer
from tests.waiting import wait_for

LARGE = b"x" * 2**24
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


class EchoApp:
    """Answers ``/large`` with 16 MiB, ``/count`` with how many of those were closed, the rest with its own body.

    A path that ends in ``/held`` waits for ``release`` first.
    """

    def __init__(self) -> None:
        self.closed = 0
        self.calls = 0
        self.is_holding, self.release = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.calls += 1
        path = environ["PATH_INFO"]
        if path.endswith("/held"):
            self.is_holding.set()
            assert self.release.wait(WAIT_SECONDS)
        body = {"/large": LARGE, "/count": str(self.closed).encode()}.get(path, environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return BodyParts(self, body)


class BodyParts:
    def __init__(self, app: EchoApp, body: bytes) -> None:
        self._app = app
        self._is_large = body is LARGE
        self._parts = (body[start : start + 2**20] for start in range(0, len(body), 2**20))

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self._app.closed += self._is_large


class EchoServer(RunningServer):
    def __init__(self) -> None:
        self.app = EchoApp()
        super().__init__(self.app)

    def ask(self, path: bytes = b"x", source: str = "127.0.0.1") -> Answer:
        with self.connect(source) as client:
            client.sendall(GET % path)
            return Answer.read_from(client)


@pytest.fixture
def running() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines short enough for a test."""
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 2**30)
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.3)


def answer_waits(client: socket.socket, seconds: float) -> bool:
    return bool(select.select([client], [], [], seconds)[0])


def everything(client: socket.socket) -> bytes:
    """Everything received until the server closes the connection."""
    return b"".join(iter(lambda: client.recv(2**20), b""))


def test_clients_that_do_not_read_block_no_threads(running: EchoServer) -> None:
    with ExitStack() as held:
        for _ in range(40):
            held.enter_context(running.connect()).sendall(GET % b"large" * 100)
        assert running.ask(source="127.0.0.2").status == 200


def test_clients_that_do_not_finish_a_body_block_no_threads(running: EchoServer) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
    with ExitStack() as held:
        for _ in range(40):
            held.enter_context(running.connect()).sendall(head)
        assert running.ask(source="127.0.0.2").status == 200


def test_invented_credentials_take_no_thread_from_others(running: EchoServer) -> None:
    with ExitStack() as held:
        for number in range(2 * settings.SERVER_THREADS):
            head = b"GET /held HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: %d\r\n\r\n" % number
            held.enter_context(running.connect()).sendall(head)
        assert running.app.is_holding.wait(WAIT_SECONDS)
        assert running.ask(source="127.0.0.2").status == 200
        running.app.release.set()


def test_behind_a_proxy_one_client_that_signs_in_holds_up_no_other(running: EchoServer, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    sign_in = b"POST /sign-in/%b HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %b\r\nContent-Length: 0\r\n\r\n"
    with running.connect() as slow, running.connect() as other:
        slow.sendall(sign_in % (b"held", b"203.0.113.1"))
        assert running.app.is_holding.wait(WAIT_SECONDS)
        other.sendall(sign_in % (b"x", b"203.0.113.2"))
        assert Answer.read_from(other).status == 200
        running.app.release.set()


@pytest.mark.usefixtures("impatient")
def test_a_client_that_does_not_read_is_cut_off_and_its_answer_closed(running: EchoServer) -> None:
    with running.connect() as client:
        client.sendall(GET % b"large")
        while running.ask(b"count").body == b"0":
            pass
        assert len(everything(client)) < len(LARGE)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("start", [b"GET", b"GET / HTTP/1.1\r\nHost: loc", b"POST / HTTP/1.1\r\nHost: l\r\nX: "])
def test_a_head_has_to_arrive_in_time(running: EchoServer, start: bytes) -> None:
    with running.connect() as client:
        client.sendall(start)
        assert everything(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_a_body_has_to_arrive_in_time(running: EchoServer, framing: bytes) -> None:
    with running.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n1" % framing)
        assert everything(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("impatient")
def test_chunks_of_a_body_that_trickle_in_do_not_extend_its_time(
    running: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of extensions do not count as transferred."""
    monkeypatch.setattr(pace, "BYTES_PER_SECOND", 1000)
    with running.connect() as client:
        client.sendall(CHUNKED)
        for _ in range(100):
            if answer_waits(client, 0.05):
                break
            client.sendall(b"1;" + b"x" * 100 + b"\r\n1\r\n")
        assert everything(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "chunk", [b"1;" + b"x" * 2**15 + b"\r\n1\r\n", b"1\r\n1\r\n" * 2**10], ids=["extensions", "tiny"]
)
def test_a_body_that_is_mostly_framing_is_refused(running: EchoServer, chunk: bytes) -> None:
    with running.connect() as client:
        client.sendall(CHUNKED)
        for _ in range(200):
            if answer_waits(client, 0):
                break
            client.sendall(chunk)
        assert everything(client).startswith(b"HTTP/1.1 400 ")
    assert running.app.calls == 0


def test_other_connections_have_turns_while_small_chunks_are_parsed(
    running: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, parsed = [0], Counter[int]()
    add = RequestBody.add

    def add_and_count(body: RequestBody, data: bytes) -> None:
        parsed[turns[0]] += 1
        add(body, data)

    def take_turn() -> None:
        turns[0] += 1
        asyncio.get_running_loop().call_soon(take_turn)

    monkeypatch.setattr(RequestBody, "add", add_and_count)
    with running.connect() as client:
        running.call_soon(take_turn)
        client.sendall(CHUNKED + b"5\r\n12345\r\n" * 10_000 + b"0\r\n\r\n")
        assert len(Answer.read_from(client).body) == 50_000
    assert sum(parsed.values()) >= 10_000
    assert max(parsed.values()) <= connection.CHUNKS_PER_TURN


def test_a_flood_of_refused_bodies_uses_up_its_callers_share_alone(
    running: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "THROTTLED_SECONDS", 3600)
    with ExitStack() as held:
        for _ in range(PER_ADDRESS):
            held.enter_context(running.connect()).sendall(CHUNKED + b"x\r\n")
        assert running.ask(source="127.0.0.2").status == 200
        assert running.ask().status == 429


def test_a_body_in_small_chunks_is_accepted(running: EchoServer) -> None:
    with running.connect() as client:
        client.sendall(CHUNKED + b"5;a=b\r\n12345\r\n" * 10_000 + b"0\r\nTrailer: x\r\n\r\n")
        assert Answer.read_from(client).body == b"12345" * 10_000


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"", GET % b"x"])
def test_a_connection_that_lies_idle_is_closed(running: EchoServer, sent: bytes) -> None:
    with running.connect() as client:
        client.sendall(sent)
        assert everything(client).count(b"HTTP/1.1") == bool(sent)


def test_the_time_limit_grows_with_the_bytes_transferred() -> None:
    assert pace.time_limit(0) == 10
    assert pace.time_limit(64 * 2**20) == 10 + 1024


def test_pipelined_requests_are_answered_in_order(running: EchoServer) -> None:
    bodies = [str(number).encode() for number in range(50)]
    requests = (b"POST / HTTP/1.1\r\nHost: l\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)
    with running.connect() as client:
        client.sendall(b"".join(requests))
        client.shutdown(socket.SHUT_WR)
        answers = everything(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == bodies


def test_a_server_that_stops_ends_each_connection_with_its_next_answer(running: EchoServer) -> None:
    with running.connect() as client:
        for _ in range(2):
            client.sendall(GET % b"x")
            assert "Connection" not in Answer.read_from(client).headers
        client.sendall(GET % b"held")
        assert running.app.is_holding.wait(WAIT_SECONDS)
        running.begin_to_stop()
        wait_for(lambda: not running.is_listening())
        running.app.release.set()
        assert Answer.read_from(client).headers["Connection"] == "close"
        assert everything(client) == b""


def test_pipelined_requests_of_a_disconnected_client_are_dropped(running: EchoServer) -> None:
    with running.connect() as client:
        client.sendall(GET % b"held" + GET % b"x" * 50)
        assert running.app.is_holding.wait(WAIT_SECONDS)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))  # closing now resets the connection
    assert running.ask(source="127.0.0.2").status == 200  # by now the server has read the reset
    running.app.release.set()
    wait_for(lambda: not running.has_connections())
    assert running.app.calls == 2


def test_connections_are_limited_per_address(running: EchoServer, settings: Any) -> None:
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


def status_if_let_in(running: EchoServer) -> int:
    try:
        return running.ask(source="127.0.0.2").status
    except OSError:
        return 0


def test_with_too_many_connections_the_longest_idle_one_is_closed(running: EchoServer, settings: Any) -> None:
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
