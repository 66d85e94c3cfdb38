"""A real HAProxy's log, over syslog."""

from __future__ import annotations

import base64
import http.client
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from real_squid import free_port
from running import AGENT, run_agent, wait_for
from stand_in import stand_in

pytestmark = pytest.mark.gateway

CONFIGURATION = AGENT.parent / "ops" / "haproxy" / "haproxy.cfg"


class OriginHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401 if self.path == "/401" else 200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"x" * 5000)

    def log_message(self, format: str, *args: object) -> None:
        """Disabled."""


@contextmanager
def haproxy(directory: Path, port: int, syslog: int, origin: int) -> Iterator[None]:
    text = CONFIGURATION.read_text()
    for written, used in (("5514", syslog), ("8888", port), ("8080", origin)):
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{used}")
    (directory / "haproxy.cfg").write_text(text)
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    assert program, "HAProxy is not installed: apt-get install haproxy"
    process = subprocess.Popen([program, "-db", "-f", str(directory / "haproxy.cfg")])
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def get(
    port: int, path: str, login: str, password: str, *, host: str = "Shop.Example:81", method: str = "GET"
) -> tuple[int, int]:
    """The status, and the bytes of the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    credentials = base64.b64encode(f"{login}:{password}".encode()).decode()
    headers = {"Host": host, "Authorization": f"Basic {credentials}"}
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, len(body)


def listens(port: int) -> bool:
    try:
        get(port, "/", "nobody", "x")
    except OSError:
        return False
    return True


def test_requests_through_haproxy_are_counted_per_login(tmp_path: Path) -> None:
    port, syslog = free_port(), free_port()
    origin = ThreadingHTTPServer(("127.0.0.1", 0), OriginHandler)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with stand_in() as server:
        config = tmp_path / "agent.toml"
        config.write_text(
            f"""
            url = "{server.url}"
            ship = {{file = "{tmp_path}/spool", source = "syslog+udp://127.0.0.1:{syslog}"}}
            """
        )
        process = run_agent("ship", "haproxy", "--config", str(config), FONPROXY_KEY="fnp_1")
        wait_for(lambda: (tmp_path / "spool").exists())
        with haproxy(tmp_path, port, syslog, origin.server_address[1]):
            wait_for(lambda: listens(port))
            assert get(port, "/", "alice", "wrong")[0] == 401
            assert get(port, "/", "alice", "secret") == (200, 5000)
            assert get(port, "/401", "alice", "secret") == (401, 5000)
            # Values that a client chooses must not push billed values beyond the line's end.
            assert get(port, "/", "alice", "secret", host="a" * 9_000) == (200, 5000)
            status, size = get(port, "/", "alice", "secret", method="M" * 9_000)
            assert status == 501
            wait_for(lambda: sum(row["count"] for row in server.rows) == 4)
        process.terminate()
        out, err = process.communicate()
    origin.shutdown()
    origin.server_close()
    assert err == ""
    assert {(row["proxy_user"], row["domain"]) for row in server.rows} == {
        ("alice", "shop.example"),
        ("alice", "a" * 255),
    }
    bodies = 3 * 5_000 + size
    # The origin repeats the method in its status line.
    assert bodies < sum(row["bytes_received"] for row in server.rows) < bodies + 9_000 + 2_000
    assert "could not be read" not in out
