"""Lines from standard input and syslog are shipped like those of a file."""

from __future__ import annotations

import gzip
import lzma
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fonproxy_agent import spool
from fonproxy_agent.spool import Spool
from real_squid import free_port
from running import run_agent, wait_for
from stand_in import StandIn, stand_in


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


def config(directory: Path, server: StandIn, source: str) -> str:
    path = directory / "agent.toml"
    path.write_text(
        f"""
        url = "{server.url}"
        ship = {{file = "{directory}/spool", source = "{source}"}}
        mapping = {{fields = {{time = "t", login = "user", received = "out"}}}}
        """
    )
    return str(path)


def line(number: int) -> str:
    return f'{{"t":{time.time():.3f},"user":"alice","out":{number}}}'


def received(server: StandIn) -> int:
    return sum(row["bytes_received"] for row in server.rows)


def test_standard_input_is_shipped_to_its_end(tmp_path: Path, server: StandIn) -> None:
    process = run_agent("ship", "lines", "--config", config(tmp_path, server, "stdin"), FONPROXY_KEY="fnp_1")
    text = "\n".join(line(number) for number in range(100)) + "\nnonsense\n"
    out, err = process.communicate(text, timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("101 lines: 100 requests shipped")
    assert received(server) == sum(range(100))


def test_a_killed_agent_ships_the_lines_it_had_received(tmp_path: Path, server: StandIn) -> None:
    server.shutdown()
    path = config(tmp_path, server, "stdin")
    process = run_agent("ship", "lines", "--config", path, FONPROXY_KEY="fnp_1")
    assert process.stdin
    process.stdin.write(line(5) + "\n")
    process.stdin.flush()
    wait_for(lambda: (tmp_path / "spool").exists() and (tmp_path / "spool").stat().st_size > 0)
    process.kill()
    process.communicate()
    with stand_in() as again:
        path = config(tmp_path, again, "stdin")
        process = run_agent("ship", "lines", "--config", path, FONPROXY_KEY="fnp_1")
        process.communicate(line(7) + "\n", timeout=60)
        assert received(again) == 12


def test_syslog_over_udp(tmp_path: Path, server: StandIn) -> None:
    port = free_port()
    process = run_agent(
        "ship", "lines", "--config", config(tmp_path, server, f"syslog+udp://127.0.0.1:{port}"), FONPROXY_KEY="fnp_1"
    )
    wait_for(lambda: (tmp_path / "spool").exists())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))

        def arrives() -> bool:
            try:
                client.send(f"<134>Nov 29 22:07:56 gw haproxy[12]: {line(1)}".encode())
            except ConnectionRefusedError:
                return False
            return received(server) > 0

        wait_for(arrives)
    process.terminate()
    process.communicate()
    assert process.returncode == 0


def test_syslog_over_a_unix_socket(tmp_path: Path, server: StandIn) -> None:
    path = tmp_path / "s"
    process = run_agent(
        "ship", "lines", "--config", config(tmp_path, server, f"syslog+unix://{path}"), FONPROXY_KEY="fnp_1"
    )
    wait_for(path.exists)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(str(path))
        client.send(line(3).encode() + b"\n")
        client.send(line(4).encode() + b"\0")
    wait_for(lambda: received(server) == 7)
    process.terminate()
    process.communicate()


@pytest.mark.parametrize("source", ["syslog", "syslog+udp://127.0.0.1", "tcp://127.0.0.1:1"])
def test_an_unknown_source_is_a_usage_error(source: str, tmp_path: Path, server: StandIn) -> None:
    process = run_agent("ship", "lines", "--config", config(tmp_path, server, source), FONPROXY_KEY="fnp_1")
    assert "source in [ship] is" in process.communicate(timeout=60)[1]
    assert process.returncode == 2


def test_a_spool_is_replaced_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_SPOOL_BYTES", 10)
    filled = Spool(tmp_path / "spool")
    for text in (b"one\ntwo", b"three", b"four"):
        filled.append(text)
    filled.close()
    [replaced] = tmp_path.glob("spool.*")
    assert replaced.read_bytes() == b"one two\nthree\n"
    assert (tmp_path / "spool").read_bytes() == b"four\n"


def test_a_line_cut_off_by_a_kill_does_not_corrupt_the_next(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"half a li")
    with closing(Spool(tmp_path / "spool")) as continued:
        continued.append(b"whole")
    assert (tmp_path / "spool").read_bytes() == b"half a li\nwhole\n"


def squid_line(number: int) -> str:
    at = time.time() - 3600 + number
    return f"{at:.3f} 5 192.0.2.1 TCP_TUNNEL/200 100 CONNECT a.example:443 alice HIER_DIRECT/192.0.2.9 -\n"


@pytest.mark.parametrize(
    "name",
    ["access-20261130.log", "access.2026-11-30.log.gz", "access_20261130-1795220843.log.xz", "access.log-20261130"],
)
def test_rotated_files_are_found_wherever_the_date_is(name: str, tmp_path: Path, server: StandIn) -> None:
    log, rotated, another = tmp_path / "access.log", tmp_path / name, tmp_path / "access-2.log"

    def ship() -> None:
        process = run_agent("ship", "squid", str(log), "--url", server.url, FONPROXY_KEY="fnp_1")
        assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)

    log.write_text("".join(map(squid_line, range(3))))
    ship()
    content = log.read_bytes() + squid_line(3).encode()
    log.unlink()
    if rotated.suffix == ".gz":
        content = gzip.compress(content)
    rotated.write_bytes(lzma.compress(content) if rotated.suffix == ".xz" else content)
    os.utime(rotated, (time.time() - 60,) * 2)
    another.write_text(squid_line(4) * 100)  # of another process of the proxy
    log.write_text(squid_line(5))
    ship()
    assert sum(row["count"] for row in server.rows) == 5
