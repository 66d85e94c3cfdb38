"""Running requests are reported while they run, and their log lines add only the missing bytes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from counting import Counting
from fonproxy_agent.request import Request
from fonproxy_agent.sessions import CounterStore, SessionReport, iso
from fonproxy_agent.squid.lines import parse
from fonproxy_agent.squid.manager import ActiveRequest
from fonproxy_agent.squid.manager import parse as parse_listing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import running, wait_for
from stand_in import StandIn, stand_in

BLOCK = """Connection: 0x559e4c5c5fc8
\tFD 15, read 83, wrote 500039
\tFD desc: Reading next request
\tin: buf 0x559e4c130630, used 0, free 4014
\tremote: {remote}
\tlocal: 127.0.0.1:13128
\tnrequests: 1
uri {uri}
logType TCP_TUNNEL
out.offset 0, out.size {size}
req_sz 81
entry (nil)/N/A
start {start} (1.192317 seconds ago)
username {login}
delay_pool 0

"""


def block(login: str, **changes: Any) -> str:
    given = {"remote": "192.0.2.7:59412", "uri": "a.example:443", "size": 500039, "start": "1795988510.128086"}
    return BLOCK.format(login=login, **given | changes)


def listed(text: str) -> list[ActiveRequest]:
    return list(parse_listing(text.encode().split(b"\n")))


def test_a_listing_names_each_running_request_of_a_login() -> None:
    text = block("-") + block("corp\\p ö") + block("bob", remote="[2001:db8::1]:80", uri="http://b.example/x y", size=0)
    assert listed(text) == [
        ActiveRequest("192.0.2.7", 59412, "corp\\p ö", "a.example:443", 1795988510128086, 500039),
        ActiveRequest("2001:db8::1", 80, "bob", "http://b.example/x y", 1795988510128086, 0),
    ]
    assert listed("") == listed("Internal error\n") == listed(block("")) == []
    assert listed(block("bob")[:120]) == []


def test_a_uri_cannot_forge_another_field() -> None:
    [request] = listed(block("bob", uri="username alice", size=7))
    assert (request.login, request.target, request.bytes_received) == ("bob", "username alice", 7)


@pytest.fixture
def store(tmp_path: Path) -> CounterStore:
    return CounterStore(tmp_path / "sessions.sqlite3")


def sample(session: str, login: str = "bob", client: str = "192.0.2.7", received: int = 0) -> SessionReport:
    return SessionReport(session, login, "w", iso(0), 0, received, domain="a.example", ip_from=client)


def request(line: str) -> Request:
    parsed = parse(line.encode())
    assert isinstance(parsed, Request)
    return parsed


LINE = "{end:.3f} {elapsed} 192.0.2.7 TCP_TUNNEL/200 {size} CONNECT a.example:443 {login} HIER_DIRECT/192.0.2.1 - 10\n"


def ended(start_ms: int, elapsed: int = 10_000, login: str = "bob", size: int = 600_039) -> str:
    return LINE.format(end=(start_ms + elapsed) / 1000, elapsed=elapsed, login=login, size=size)


def test_a_session_is_matched_to_one_line_only(store: CounterStore) -> None:
    now = time.time()
    start = int(now * 1000) - 5_000
    assert store.record([(sample("s1"), start), (sample("s2"), start + 1), (sample("s3", "eve"), start)], now)
    assert store.claim(request(ended(start + 2)), "line 1") == ("s2", "bob", start + 1)
    assert store.claim(request(ended(start + 2)), "line 2") == ("s1", "bob", start)
    assert store.claim(request(ended(start + 2)), "line 3") is None
    assert store.claim(request(ended(start + 2)), "line 1") == ("s2", "bob", start + 1)
    assert store.claim(request(ended(start + 10, login="eve")), "line 4") is None


def test_a_line_is_not_matched_to_a_request_that_kept_running(store: CounterStore) -> None:
    now = time.time()
    start = int(now * 1000) - 10_000
    assert store.record([(sample("s1", received=5_000), start)], now)
    assert store.claim(request(ended(start, elapsed=8_000, size=6_000)), "ended before") is None
    assert store.claim(request(ended(start, elapsed=10_500, size=5_000)), "its own") == ("s1", "bob", start)


def test_a_line_matches_a_request_with_more_bytes_only_if_no_other_fits(store: CounterStore) -> None:
    now = time.time()
    start = int(now * 1000) - 10_000
    assert store.record([(sample("s1", received=5_000), start), (sample("s2", received=2_000), start + 1)], now)
    assert store.claim(request(ended(start, elapsed=8_000, size=1_000)), "ended before") is None
    assert store.claim(request(ended(start, elapsed=10_500, size=4_999)), "fits") == ("s2", "bob", start + 1)
    assert store.claim(request(ended(start, elapsed=10_500, size=4_999)), "smaller") == ("s1", "bob", start)


def test_a_request_that_ended_after_the_clock_was_set_back_is_found(store: CounterStore) -> None:
    now = time.time()
    start = int(now * 1000) - 10_000
    assert store.record([(sample("s1"), start)], now + 20)
    assert store.claim(request(ended(start, elapsed=8_000)), "line 1") == ("s1", "bob", start)


def test_a_request_is_found_after_the_clock_passes_its_last_listing_again(store: CounterStore) -> None:
    now = time.time()
    start = int(now * 1000) - 10_000
    assert store.record([(sample("s1"), start)], now - 1)
    assert store.record([], now - 3)
    assert store.claim(request(ended(start, elapsed=6_500)), "line 1") == ("s1", "bob", start)


OLDER_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, login TEXT NOT NULL, client TEXT NOT NULL, start_ms INTEGER NOT NULL, seen_at REAL NOT NULL,
    line TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_start ON session (login, client, start_ms);
CREATE TABLE IF NOT EXISTS listing (id INTEGER PRIMARY KEY CHECK (id = 1), began_at REAL NOT NULL);
INSERT OR IGNORE INTO listing VALUES (1, 0);
"""


def test_sessions_that_an_older_version_reported_are_found(tmp_path: Path) -> None:
    now = time.time()
    start = int(now * 1000) - 10_000
    with closing(sqlite3.connect(tmp_path / "older")) as older, older:
        older.executescript(OLDER_SCHEMA)
        rows = [("s1", "bob", "192.0.2.7", start, now, "line 1"), ("s2", "bob", "192.0.2.7", start + 1, now, None)]
        older.executemany("INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)", rows)
        older.execute("UPDATE listing SET began_at = ?", (now,))
    CounterStore(tmp_path / "older")
    store = CounterStore(tmp_path / "older")
    assert store.complete_until(now) == pytest.approx(now - 0.1)
    assert store.claim(request(ended(start, elapsed=12_000)), "line 2") == ("s2", "bob", start + 1)
    assert store.claim(request(ended(start, elapsed=12_000)), "line 1") == ("s1", "bob", start)
    assert store.claim(request(ended(start, elapsed=12_000)), "line 3") is None


def test_an_older_version_beside_this_one_fails_instead_of_shipping_whole_lines(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "older")) as older:
        older.executescript(OLDER_SCHEMA)
        CounterStore(tmp_path / "older")
        with pytest.raises(sqlite3.OperationalError):
            older.execute("SELECT id, start_ms FROM session WHERE login = 'bob'")
        with pytest.raises(sqlite3.OperationalError):
            older.execute("INSERT INTO session VALUES ('s1', 'bob', '192.0.2.7', 0, 0, NULL)")
        with pytest.raises(sqlite3.OperationalError):
            older.executescript(OLDER_SCHEMA)


# Bytes of a request when it was last seen, and at its end; None if it ended before the first listing.
MOVED = st.tuples(st.none() | st.integers(0, 50), st.integers(0, 50))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moved=st.lists(MOVED, min_size=1, max_size=8), data=st.data())
def test_simultaneous_requests_of_a_client_add_up_to_their_lines(
    tmp_path: Path, moved: list[tuple[int | None, int]], data: st.DataObject
) -> None:
    store = CounterStore(tmp_path / uuid4().hex)
    now = time.time()
    start = int(now * 1000) - 10_000
    counted = {f"s{number}": seen for number, (seen, _) in enumerate(moved) if seen is not None}
    assert store.record([(sample(name, received=size), start) for name, size in counted.items()], now)
    lines = [(8_000 if seen is None else 12_000, (seen or 0) + more) for seen, more in moved]
    alone = 0
    for number, (elapsed, size) in enumerate(data.draw(st.permutations(lines))):
        if found := store.claim(request(ended(start, elapsed, size=size)), str(number)):
            counted[found[0]] = max(counted[found[0]], size)
        else:
            alone += size
    assert sum(counted.values()) + alone == sum(size for _, size in lines)


def test_a_listing_that_took_too_long_is_not_recorded(store: CounterStore) -> None:
    now = time.time()
    assert store.record([], now)
    start = int(now * 1000) - 20_000
    assert not store.record([(sample("s1"), start)], now - 11)
    assert store.claim(request(ended(start)), "line 1") is None
    assert store.complete_until(now) == pytest.approx(now - 0.1)
    assert store.complete_until(now + 31) is None


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def squid() -> Iterator[StandIn]:
    """Stands in for Squid's cache manager."""
    with stand_in() as squid:
        squid.answer = lambda path, body: (200, b"")
        yield squid


@pytest.fixture
def config(tmp_path: Path, server: StandIn, squid: StandIn) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f"""
        url = "{server.url}"
        squid.manager = "{squid.url}"
        ship = {{file = "{tmp_path}/access.log", follow = true, watched = true}}
        watch = {{database = "{tmp_path}/sessions.sqlite3", interval_seconds = 0.2}}
        """
    )
    return path


def agent(command: str, config: Path) -> Any:
    names = ["ship", "squid"] if command == "ship" else [command]
    return running(*names, "--config", str(config), FONPROXY_KEY="fnp_1")


def test_a_watched_request_counts_while_it_runs_and_its_line_adds_the_rest(
    config: Path, server: StandIn, squid: StandIn
) -> None:
    counting = Counting(server)
    start_ms = int(time.time() * 1000) - 10_000
    listing = block("bob", start=f"{start_ms / 1000:.6f}") + block("young", start=f"{time.time() + 60:.6f}")
    squid.answer = lambda path, body: (200, listing.encode())
    log = config.with_name("access.log")
    with agent("watch", config), agent("ship", config):
        wait_for(lambda: counting.received() == {"bob": 500039})
        squid.answer = lambda path, body: (200, b"")
        elapsed = int(time.time() * 1000) - start_ms
        log.write_text(ended(start_ms, elapsed) + ended(start_ms + 500, elapsed - 500, "alice", 1000))
        wait_for(lambda: counting.received() == {"bob": 600039, "alice": 1000})
        assert counting.requests() == {"bob": 1, "alice": 1}


def test_the_log_line_counts_bytes_that_could_not_be_reported_earlier(
    config: Path, server: StandIn, squid: StandIn
) -> None:
    counting = Counting(server)
    counting.is_away = True
    start_ms = int(time.time() * 1000) - 10_000
    squid.answer = lambda path, body: (200, block("bob", start=f"{start_ms / 1000:.6f}").encode())
    with agent("watch", config), agent("ship", config):
        wait_for(lambda: server.called)
        squid.answer = lambda path, body: (200, b"")
        config.with_name("access.log").write_text(ended(start_ms, int(time.time() * 1000) - start_ms))
        counting.is_away = False
        wait_for(lambda: counting.received() == {"bob": 600039})


def test_an_unknown_login_delays_no_other(config: Path, server: StandIn, squid: StandIn) -> None:
    counting = Counting(server)
    counting.unknown = {"eve"}
    squid.answer = lambda path, body: (200, (block("eve") + block("bob")).encode())
    with agent("watch", config):
        wait_for(lambda: counting.received() == {"bob": 500039})


def test_without_a_watcher_lines_are_shipped_as_they_are(config: Path, server: StandIn) -> None:
    counting = Counting(server)
    config.with_name("access.log").write_text(ended(int(time.time() * 1000) - 10_000))
    with agent("ship", config):
        wait_for(lambda: counting.received() == {"bob": 600039})
