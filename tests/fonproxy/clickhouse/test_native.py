"""Behaviour of an engine behind a network: unavailable, killed and silent servers."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from fonproxy.clickhouse import migrator, native
from fonproxy.clickhouse.address import Address
from fonproxy.clickhouse.errors import EngineFault, EngineUnavailable
from fonproxy.clickhouse.native import NativeClient
from tests import clickhouse
from tests.clickhouse import Endpoint
from tests.fonproxy.clickhouse.batches import batch, expected, found
from tests.fonproxy.clickhouse.processes import is_running
from tests.serving import free_port
from tests.waiting import wait_for

ENDLESS = "SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))"
Connect = Callable[..., NativeClient]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with clickhouse.running() as running:
        yield running


@pytest.fixture
def connect(endpoint: Endpoint) -> Iterator[Connect]:
    """A client of that endpoint, or of other ports; closed afterwards."""
    clients: list[NativeClient] = []

    def connect(*ports: int, password: str = "", connections: int = 4, wait_seconds: float = 5) -> NativeClient:
        hosts = tuple(("127.0.0.1", port) for port in ports or (endpoint.port,))
        address = replace(
            Address.parse("clickhouse://127.0.0.1"), hosts=hosts, password=password, database=migrator.DATABASE
        )
        clients.append(NativeClient(address, connections=connections, wait_seconds=wait_seconds))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def is_answering(client: NativeClient) -> bool:
    with suppress(EngineUnavailable):
        return client.fetch("SELECT 1", tag="tests") == [(1,)]
    return False


def test_another_host_answers_when_the_first_is_unavailable(connect: Connect, endpoint: Endpoint) -> None:
    assert connect(free_port(), endpoint.port).fetch("SELECT 1", tag="tests") == [(1,)]


def test_another_host_answers_when_the_first_hangs_up_at_once(connect: Connect, endpoint: Endpoint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    rude.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        client = connect(rude.getsockname()[1], endpoint.port)
        assert client.fetch("SELECT 1", tag="tests") == [(1,)]


def test_a_value_that_does_not_fit_its_column_is_a_programming_error(connect: Connect) -> None:
    client = connect()
    client.command("CREATE TABLE IF NOT EXISTS small (n UInt8) ENGINE = Null", tag="tests")
    with pytest.raises(EngineFault):
        client.insert("small", pa.table({"n": ["no number"]}), token="small")
    assert client.fetch("SELECT 1", tag="tests") == [(1,)]


def test_without_any_reachable_host_the_engine_is_unavailable(connect: Connect) -> None:
    with pytest.raises(EngineUnavailable):
        connect(free_port()).fetch("SELECT 1", tag="tests")


def test_a_server_that_was_started_again_between_two_reads_is_not_noticed(connect: Connect, endpoint: Endpoint) -> None:
    client = connect()
    assert client.fetch("SELECT 1", tag="tests") == [(1,)]
    endpoint.kill()
    endpoint.start()
    assert client.fetch("SELECT 2", tag="tests") == [(2,)]


@pytest.mark.processes
def test_a_read_whose_server_dies_underway_is_answered_by_another(connect: Connect, endpoint: Endpoint) -> None:
    with clickhouse.running() as other:
        client = connect(other.port, endpoint.port)
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(client.fetch("SELECT sleep(3), 7", tag="asking")))
        asking.start()
        watcher = connect(other.port)
        wait_for(lambda: is_running(watcher, "asking"))
        other.kill()
        asking.join(60)
        other.start()
    assert answers == [[(0, 7)]]


@pytest.mark.processes
def test_an_insert_whose_server_dies_is_repeated_under_its_token_and_counts_once(
    connect: Connect, endpoint: Endpoint
) -> None:
    client = connect()
    migrator.migrate(client)
    rows = batch(2000, now=datetime.now(UTC))
    for attempt in range(4):
        killer = threading.Timer(0.02 * attempt, endpoint.kill)
        killer.start()
        with suppress(EngineUnavailable):
            client.insert("inbox", rows, token="dies")
        killer.join()
        endpoint.start()
    client.insert("inbox", rows, token="dies")
    assert found(client) == expected(rows)


def test_a_statement_that_finds_no_free_connection_in_time_is_refused(connect: Connect) -> None:
    client = connect(connections=1, wait_seconds=0.1)
    with ThreadPoolExecutor(1) as pool:
        occupying = pool.submit(client.fetch, ENDLESS, tag="occupying")
        watcher = connect()
        wait_for(lambda: is_running(watcher, "occupying"))
        with pytest.raises(EngineUnavailable, match="in use"):
            client.fetch("SELECT 1", tag="tests")
        client.cancel_all()
        assert isinstance(occupying.exception(60), EngineUnavailable)
    assert client.fetch("SELECT 1", tag="tests") == [(1,)]


def test_connections_are_reused(connect: Connect) -> None:
    client = connect(connections=2)
    for _ in range(10):
        client.fetch("SELECT 1", tag="tests")
    assert len(client._idle) == 1


def test_with_a_wrong_password_the_engine_is_unavailable(connect: Connect) -> None:
    with pytest.raises(EngineUnavailable, match="Authentication failed"):
        connect(password="wrong").fetch("SELECT 1", tag="tests")


def test_a_silent_server_times_out(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(silent.getsockname()[1])
        with pytest.raises(EngineUnavailable, match="in time"):
            client.fetch("SELECT 1", tag="tests")
        with pytest.raises(EngineUnavailable, match="a moment ago"):
            client.fetch("SELECT 1", tag="tests")


def test_a_silent_connection_is_dropped_and_the_host_used_again_once_it_answers(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PING_SECONDS", "CONNECT_SECONDS", "SILENCE_SECONDS"):
        monkeypatch.setattr(native, name, 0.5)
    with clickhouse.running() as other:
        client = connect(other.port)
        assert client.fetch("SELECT 1", tag="tests") == [(1,)]
        os.kill(other.process.pid, signal.SIGSTOP)
        # A thread that has not stopped yet could answer the ping and leave the statement to a timeout of 45 s.
        os.waitid(os.P_PID, other.process.pid, os.WSTOPPED)
        with pytest.raises(EngineUnavailable, match="in time"):
            client.fetch("SELECT 1", tag="tests")
        os.kill(other.process.pid, signal.SIGCONT)
        wait_for(lambda: is_answering(client))


def test_only_its_own_statements_are_stopped(connect: Connect) -> None:
    mine, other, watcher = connect(), connect(), connect()
    with ThreadPoolExecutor(2) as pool:
        stopped = pool.submit(mine.fetch, ENDLESS, tag="mine")
        untouched = pool.submit(other.fetch, ENDLESS, tag="other")
        wait_for(lambda: is_running(watcher, "mine") and is_running(watcher, "other"))
        mine.cancel_all()
        assert isinstance(stopped.exception(60), EngineUnavailable)
        try:
            assert (untouched.done(), is_running(watcher, "other")) == (False, True)
        finally:
            other.cancel_all()


def test_closing_a_client_stops_its_statements_and_refuses_new_ones(connect: Connect) -> None:
    client, watcher = connect(), connect()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.fetch, ENDLESS, tag="running")
        wait_for(lambda: is_running(watcher, "running"))
        client.close()
        assert isinstance(running.exception(60), EngineUnavailable)
    with pytest.raises(EngineUnavailable, match="closed"):
        client.fetch("SELECT 1", tag="tests")


def test_a_server_error_is_raised_without_its_stack_trace(connect: Connect) -> None:
    with pytest.raises(Exception, match="Unknown expression") as fault:
        connect().fetch("SELECT nothing", tag="tests")
    assert "stack" not in str(fault.value).lower()
