"""Lines of real proxies: their bytes are billed to the right login, and to no other."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import signal
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.agent.sample import Counts, independent_count, native_log
from tests.agent.shipping import counted, offset, ship, sign_in, start, wait_for
from tests.serving import Server

TEMPLATE = "{at} {elapsed:>6} 198.51.100.7 {result} {size} {request} {login} {peer} {type}\n"


@pytest.fixture(scope="module")
def staff(server: Server) -> Callable[..., Any]:
    """Calls as a member of staff."""
    body = json.dumps({"username": "admin", "password": server.keys["PASSWORD"]}).encode()
    token = server.call("POST", "/auth/token", body, Content_Type="application/json").json["access"]

    def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        answer = server.call(method, path, sent, Authorization=f"Bearer {token}", Content_Type="application/json")
        assert answer.status in (200, 201), answer.body
        return answer.json

    return call


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "settings").mkdir()
    return tmp_path / "access.log"


@pytest.fixture
def sell(
    server: Server, staff: Callable[..., Any], request: pytest.FixtureRequest
) -> Callable[..., Callable[[], dict[str, Any]]]:
    """Sells a login of a separate customer; returns its counted traffic."""
    made = 0

    def sell(login: str) -> Callable[[], dict[str, Any]]:
        nonlocal made
        made += 1
        name = f"{abs(hash(request.node.nodeid)):x}-{made}"
        user = staff("PUT", f"/provisioning/users/{name}", {})["user"]
        order = {"user": name, "name": "Order", "proxyType": "residential-giga", "trafficLimitBytes": None}
        staff("PUT", f"/provisioning/orders/{name}", order | {"proxyUsers": [login]})

        def used() -> dict[str, Any]:
            server.wait_until_readable()
            now = datetime.now(UTC)
            days = f"from={(now - timedelta(days=2)):%Y-%m-%d}&to={now:%Y-%m-%d}"
            rows = staff("GET", f"/analytics/domains?{days}&userId={quote(str(user['id']))}")["data"]
            return {
                "bytes": sum(int(row["total_bytes_received"]) for row in rows),
                "requests": sum(int(row["total_count"]) for row in rows),
                "errors": sum(int(row["total_errors"]) for row in rows),
            }

        return used

    return sell


def line(login: str, **changes: Any) -> bytes:
    given = {
        "at": f"{time.time() - 600:.3f}",
        "elapsed": 50,
        "result": "TCP_MISS/200",
        "size": 1000,
        "request": "GET http://a.example/",
        "peer": "HIER_DIRECT/192.0.2.1",
        "type": "text/html",
    }
    return TEMPLATE.format(login=login, **given | changes).encode()


def test_an_escaped_login_is_billed(server: Server, log: Path, sell: Callable[..., Any]) -> None:
    used = sell("CORP\\pat01")
    log.write_bytes(line("CORP\\\\pat01", size=5000, request="CONNECT a.example:443", result="TCP_TUNNEL/200"))
    assert ship(log, server)[0] == 0
    assert used() == {"bytes": 5000, "requests": 1, "errors": 0}


@pytest.mark.parametrize("options", [(), ("--raw",)])
def test_failed_sign_ins_are_reported_and_not_billed(
    options: tuple[str, ...], server: Server, log: Path, sell: Callable[..., Any]
) -> None:
    used = sell(f"case02{options}")
    denied = {"elapsed": 0, "result": "TCP_DENIED/407", "size": 4200, "peer": "HIER_NONE/-"}
    log.write_bytes(line(f"case02{options}", **denied) * 3 + line("b" * 300, **denied))
    code, out, _ = ship(log, server, *options)
    assert code == 0
    assert f"3 requests with a failed sign-in as {f'case02{options}'!r} were left out." in out
    assert used() == {"bytes": 0, "requests": 0, "errors": 0}


def test_the_report_stays_short_for_any_number_of_failed_sign_ins(server: Server, log: Path) -> None:
    denied = {"elapsed": 0, "result": "TCP_DENIED/407", "size": 4200, "peer": "HIER_NONE/-"}
    log.write_bytes(b"".join(line(f"guess{number}", **denied) for number in range(3_000)))
    code, out, _ = ship(log, server)
    assert (code, len(out.splitlines())) == (0, 22)
    assert "2,980 requests with a failed sign-in as further logins were left out." in out


@pytest.mark.parametrize(
    "changes",
    [
        {"elapsed": -331},
        {"type": ""},
        {"type": "(null)"},
        {"peer": "DEFAULT_PARENT/", "type": "-"},
        {"type": "text/html [Host: a.example\\r\\n] [HTTP/1.1 200 OK\\r\\n]"},
        {"at": f"Dec  4 03:31:46 host (squid-1): {time.time() - 600:.3f}"},
        {"at": f"\ufeff{time.time() - 600:.3f}"},
        {"request": "GET http://a.example/b c"},
        {"request": "GET http://a.example/b c d e f"},
        {"request": "GET http://a.example/b dave HIER_DIRECT/1.1.1.1 x"},
    ],
)
@pytest.mark.parametrize("options", [(), ("--raw",)])
def test_odd_fields_lose_no_bytes(
    options: tuple[str, ...], changes: dict[str, Any], server: Server, log: Path, sell: Callable[..., Any]
) -> None:
    login = f"case{abs(hash((options, str(changes)))):x}"
    used = sell(login)
    log.write_bytes(line(login, **changes))
    code, out, err = ship(log, server, *options)
    assert (code, err) == (0, "")
    assert used() == {"bytes": 1000, "requests": 1, "errors": 0}, out


def test_a_line_that_is_not_utf_8_is_still_counted(server: Server, log: Path, sell: Callable[..., Any]) -> None:
    used = sell("case05")
    log.write_bytes(
        line("case05", type="TYPE").replace(b"TYPE", b"\xff\xfe") + line("case05").replace(b"/ ", b"/\xe9 ")
    )
    assert ship(log, server)[0] == 0
    assert used() == {"bytes": 2000, "requests": 2, "errors": 0}


def test_logins_and_urls_with_spaces_are_distinguished(server: Server, log: Path, sell: Callable[..., Any]) -> None:
    one_word, two_words = sell("smith"), sell("jane doe")
    log.write_bytes(
        line("jane doe") + line("smith", request="GET http://a.example/b c") + line("jane doe") + line("eve mallory")
    )
    code, out, _ = ship(log, server)
    assert code == 0
    assert one_word() == {"bytes": 1000, "requests": 1, "errors": 0}
    assert two_words() == {"bytes": 2000, "requests": 2, "errors": 0}
    assert "1 requests of the unknown login 'mallory' were left out." in out


def test_an_unreadable_log_stops_the_shipper_and_changes_nothing(server: Server, log: Path) -> None:
    good = native_log()
    log.write_bytes(good)
    assert ship(log, server)[0] == 0
    state = log.with_name("access.log.fonproxy")
    before = state.read_bytes()
    log.write_bytes(good + b"198.51.100.7 - - [29/Nov/2026] nonsense\n" * 50 + line("alice"))
    code, _, err = ship(log, server)
    assert (code, state.read_bytes()) == (1, before)
    assert "50 of 51 lines cannot be read: line 301 is not in the expected format." in err
    code, out, _ = ship(log, server, "--skip-unreadable")
    assert (code, "50 lines (98.0%) could not be read:" in out) == (0, True)


def test_an_unreadable_new_log_leaves_no_state(server: Server, log: Path) -> None:
    log.write_bytes(b"nonsense\n" * 3)
    assert ship(log, server)[0] == 1
    assert not log.with_name("access.log.fonproxy").exists()


def test_skipped_requests_are_reported_while_following(server: Server, log: Path) -> None:
    denied = {"elapsed": 0, "result": "TCP_DENIED/407", "size": 4200, "peer": "HIER_NONE/-"}
    log.write_bytes(line("alice") + line("bob", **denied) * 2 + line("eve") + b"nonsense\n")
    process = start(log, server.url, server.keys["INGEST_KEY"], "--follow", report_seconds=0.3)
    assert process.stderr
    told = [process.stderr.readline().strip() for _ in range(6)]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert told == [
        "5 lines: 1 requests shipped, 1,000 bytes to and 0 bytes from customers.",
        "2 requests with a failed sign-in as 'bob' were left out.",
        "1 requests of the unknown login 'eve' were left out.",
        "1 lines (20.0%) could not be read:",
        "1 times: the line is not in the expected format",
        "line 5 is not in the expected format",
    ]
    assert process.returncode == 0


def compress(path: Path, suffix: str) -> None:
    """Compresses like a rotation: the time of the last change stays."""
    packed = path.with_name(path.name + suffix)
    content = path.read_bytes()
    if suffix == ".gz":
        packed.write_bytes(gzip.compress(content))
    else:
        packed.write_bytes(bz2.compress(content) if suffix == ".bz2" else lzma.compress(content))
    os.utime(packed, (path.stat().st_atime, path.stat().st_mtime))
    path.unlink()


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_rotations_are_read(suffix: str, server: Server, log: Path) -> None:
    tokens = sign_in(server)
    before = total(counted(server, tokens))
    lines = native_log().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:100]))
    assert ship(log, server)[0] == 0
    with log.open("ab") as more:
        more.write(b"".join(lines[100:150]))
    long_ago = time.time() - 60
    for number, part in ((3, None), (2, lines[150:250]), (1, lines[250:280])):
        if part is not None:
            log.write_bytes(b"".join(part))
        os.utime(log, (long_ago, long_ago))
        log.rename(log.with_name(f"access.log.{number}"))
        compress(log.with_name(f"access.log.{number}"), suffix)
    log.with_name("access.log.4.gz").write_bytes(b"\x1f\x8b damaged")
    log.write_bytes(b"".join(lines[280:]))
    code, out, err = ship(log, server, lines=30)
    assert (code, err) == (0, "")
    assert out.startswith("200 lines: 200 requests shipped")
    assert total(counted(server, tokens)) - before == total(independent_count(b"".join(lines)))


@pytest.mark.parametrize("lines_before", [30, 3000])
def test_truncated_compressed_rotation_is_shipped_up_to_its_end(lines_before: int, server: Server, log: Path) -> None:
    """As gzip leaves it on a full disk. Whatever the beginning that identifies a file holds of it."""
    began = time.time() - 7200
    written = b"".join(line("alice", at=f"{began + number:.3f}", size=number + 1) for number in range(lines_before))
    log.write_bytes(written[: written.index(b"\n") + 1])
    assert ship(log, server)[0] == 0
    packed = gzip.compress(written)
    cut = packed[: len(packed) // 2]
    log.with_name("access.log.1.gz").write_bytes(cut)
    os.utime(log.with_name("access.log.1.gz"), (time.time() - 60,) * 2)
    log.write_bytes(line("alice"))
    whole_lines = zlib.decompressobj(31).decompress(cut).count(b"\n")
    assert 1 < whole_lines < lines_before
    code, out, err = ship(log, server)
    assert code == 0
    assert f"{whole_lines:,} requests shipped" in out  # without the first, with that of the new log
    assert "access.log.1.gz ends too early" in err


def total(counts: Counts) -> int:
    return sum(domain["requests"] for domains in counts.values() for domain in domains.values())


def test_a_log_is_followed_while_its_rotations_are_compressed(server: Server, log: Path) -> None:
    lines = native_log().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:100]))
    process = start(log, server.url, server.keys["INGEST_KEY"], "--follow", lines=30)
    assert wait_for(lambda: offset(log) == log.stat().st_size)
    process.send_signal(signal.SIGSTOP)
    with log.open("ab") as more:
        more.write(b"".join(lines[100:200]))
    os.utime(log, (time.time() - 60,) * 2)
    log.rename(log.with_name("access.log.1"))
    compress(log.with_name("access.log.1"), ".gz")
    log.write_bytes(b"".join(lines[200:]))
    process.send_signal(signal.SIGCONT)
    assert wait_for(lambda: offset(log) == log.stat().st_size)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert out.startswith("300 lines: 299 requests shipped")


def test_a_single_compressed_log_can_be_shipped(server: Server, log: Path) -> None:
    log.write_bytes(native_log())
    compress(log, ".gz")
    code, out, _ = ship(log.with_name("access.log.gz"), server, lines=100)
    assert (code, out.startswith("300 lines: 299 requests shipped")) == (0, True)
    damaged = log.with_name("damaged.log.gz")
    damaged.write_bytes(log.with_name("access.log.gz").read_bytes()[:500])
    code, _, err = ship(damaged, server)
    assert (code, "damaged.log.gz cannot be read" in err, "Traceback" in err) == (1, True, False)
