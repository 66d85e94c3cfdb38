"""The wire path against a server that nobody here has written: Debian's ClickHouse of 2018.

It knows neither bound parameters nor most of our settings, so those stay away; connecting, framing, compression, types,
inserted columns and errors are its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from fonproxy.clickhouse import native
from fonproxy.clickhouse.address import Address
from fonproxy.clickhouse.errors import EngineFault, EngineUnavailable
from fonproxy.clickhouse.native import NativeClient
from fonproxy.clickhouse.profiles import Profile
from tests import clickhouse

BARE = Profile("bare", ())


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[NativeClient]:
    program = clickhouse.old_server()
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Debian's ClickHouse is not installed")
    monkeypatch.setattr(native, "INGEST", BARE)
    monkeypatch.setattr(native, "MIGRATE", BARE)
    with clickhouse.running_old_server(program) as port:
        client = NativeClient(Address.parse(f"clickhouse://127.0.0.1:{port}/wire"))
        yield client
        client.close()


def test_columns_go_out_and_come_back(client: NativeClient) -> None:
    client.command("CREATE TABLE wire (at DateTime('UTC'), n UInt64, day Date, s String) ENGINE = Memory", tag="tests")
    moment = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
    size = 5000
    columns = {
        "at": pa.array([moment] * size, pa.timestamp("s", "UTC")),
        "n": pa.array(range(2**64 - size, 2**64), pa.uint64()),
        "day": pa.array([moment.date()] * size),
        "s": [f"it's {i}\0\n\\ é" for i in range(size)],
    }
    client.insert("wire", pa.table(columns), token="a token")
    assert client.fetch("SELECT count(), uniq(s), max(n) FROM wire", profile=BARE, tag="tests") == [
        (size, size, 2**64 - 1)
    ]
    assert client.fetch("SELECT at, n, day, s FROM wire ORDER BY n LIMIT 1", profile=BARE, tag="tests") == [
        (moment, 2**64 - size, moment.date(), "it's 0\0\n\\ é")
    ]
    with pytest.raises(EngineFault) as fault:
        client.fetch("SELECT nothing FROM wire", profile=BARE, tag="tests")
    assert fault.value.code == 47
    assert client.fetch("SELECT 1", profile=BARE, tag="tests") == [(1,)]


def test_a_disconnected_server_is_unavailable(client: NativeClient) -> None:
    assert client.fetch("SELECT 1", profile=BARE, tag="tests") == [(1,)]
    elsewhere = NativeClient(Address.parse("clickhouse://127.0.0.1:1/wire"))
    with pytest.raises(EngineUnavailable):
        elsewhere.fetch("SELECT 1", profile=BARE, tag="tests")
