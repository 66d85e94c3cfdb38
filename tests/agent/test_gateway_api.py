"""The agent and FonProxy agree on the routes for gateways."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fonproxy_agent.authorize import Authorizer, Decision
from fonproxy_agent.client import AgentClient
from fonproxy_agent.config import SignInConfig
from fonproxy_agent.logins import LoginStore
from fonproxy_agent.sessions import SessionReport, iso, report

from tests.agent.shipping import wait_for
from tests.serving import ROOT, Server, manage


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    """A key with both scopes of a gateway."""
    arguments = ["create_api_key", "worker", "--name", "gateway", "--scope", "gateway", "--scope", "ingest"]
    made = manage(server.data_dir, *arguments)
    assert made.returncode == 0, made.stderr
    return next(word for word in made.stdout.split() if word.startswith("fnp_"))


@pytest.fixture(scope="module")
def staff(server: Server) -> Callable[..., Any]:
    body = json.dumps({"username": "admin", "password": server.keys["PASSWORD"]}).encode()
    token = server.call("POST", "/auth/token", body, Content_Type="application/json").json["access"]

    def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        sent = json.dumps(body or {}).encode()
        answer = server.call(method, path, sent, Authorization=f"Bearer {token}", Content_Type="application/json")
        assert answer.status in (200, 201), answer.body
        return answer.json

    return call


@pytest.fixture(scope="module")
def sold(staff: Callable[..., Any]) -> str:
    """The login of an order, with the password `correct-horse`, allowed from one network."""
    staff("PUT", "/provisioning/users/gw", {})
    login = {"login": "gw-1", "password": "correct-horse", "allowedIps": ["192.0.2.0/24"]}
    order = {"user": "gw", "name": "Order", "proxyType": "residential-giga", "trafficLimitBytes": 10**9}
    staff("PUT", "/provisioning/orders/gw", order | {"proxyUsers": [login]})
    return "gw-1"


@pytest.mark.processes
def test_sign_in_decisions_are_the_same_with_and_without_fonproxy(
    server: Server, key: str, sold: str, staff: Callable[..., Any], tmp_path: Path
) -> None:
    client = AgentClient(server.url, key, "gateway")
    store = LoginStore(tmp_path / "logins.sqlite3")
    store.sync(client, 0)
    config = SignInConfig()
    asking = Authorizer(config, client, store, "w")
    alone = Authorizer(config, AgentClient("http://127.0.0.1:1", key, "gateway"), store, "w")
    for deciding in (asking, alone):
        assert deciding.decide(sold, "correct-horse", "192.0.2.7") == Decision(True)
        assert deciding.decide(sold, "wrong-horse", "192.0.2.7") == Decision(False, "bad_password")
        assert deciding.decide(sold, "correct-horse", "198.51.100.7") == Decision(False, "ip_not_allowed")
        assert deciding.decide(sold, None, "192.0.2.7") == Decision(True)
        assert deciding.decide("nobody", "correct-horse", "192.0.2.7") == Decision(False, "unknown")
    staff("POST", "/provisioning/orders/gw/suspend")
    store.sync(client, 0)
    for deciding in (Authorizer(config, client, store, "w"), Authorizer(config, alone._client, store, "w")):
        assert not deciding.decide(sold, "correct-horse", "192.0.2.7").is_allowed
    staff("POST", "/provisioning/orders/gw/resume")


def usage(server: Server, staff: Callable[..., Any]) -> tuple[int, int]:
    """Bytes to the customer and requests of the sold login's customer."""
    user = staff("PUT", "/provisioning/users/gw", {})["user"]
    now = datetime.now(UTC)
    days = f"from={(now - timedelta(days=2)):%Y-%m-%d}&to={now:%Y-%m-%d}&userId={user['id']}"
    rows = staff("GET", f"/analytics/domains?{days}")["data"]
    return sum(int(row["total_bytes_received"]) for row in rows), sum(int(row["total_count"]) for row in rows)


def test_unknown_logins_are_named_and_delay_no_other(
    server: Server, key: str, sold: str, staff: Callable[..., Any]
) -> None:
    before = usage(server, staff)
    start = iso(int(time.time() * 1000) - 60_000)
    samples = [
        SessionReport(f"s{number}", login, "w", start, 0, 1000, requests=1)
        for number, login in enumerate((sold, "eve"))
    ]
    refused = report(AgentClient(server.url, key, "gateway"), samples)
    assert [sample.login for sample, _ in refused] == ["eve"]
    assert wait_for(lambda: usage(server, staff) == (before[0] + 1000, before[1] + 1))


LISTING = """Connection: 0x1
\tremote: 192.0.2.7:59412
uri a.example:443
out.offset 0, out.size {size}
start {start} (10.0 seconds ago)
username gw-1

"""
MANAGER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = open(sys.argv[1], "rb").read()
        self.send_response(200); self.send_header("Content-Length", str(len(content))); self.end_headers()
        self.wfile.write(content)
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def agent(key: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fonproxy_agent", *arguments]
    return subprocess.Popen(command, env={"PYTHONPATH": str(ROOT / "agent"), "FONPROXY_KEY": key})


def test_a_watched_tunnel_counts_while_it_runs_and_in_all_as_its_line_says(
    server: Server, key: str, sold: str, staff: Callable[..., Any], tmp_path: Path
) -> None:
    before = usage(server, staff)
    listing, log, config = tmp_path / "listing", tmp_path / "access.log", tmp_path / "agent.toml"
    start = time.time() - 60.0004
    listing.write_text(LISTING.format(size=500_039, start=f"{start:.6f}"))
    manager = subprocess.Popen(
        [sys.executable, "-c", MANAGER, str(listing)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert manager.stdout
    port = int(manager.stdout.readline())
    config.write_text(
        f"""
        url = "{server.url}"
        squid.manager = "http://127.0.0.1:{port}"
        ship = {{file = "{log}", follow = true, watched = true}}
        watch = {{database = "{tmp_path}/sessions.sqlite3", interval_seconds = 0.5}}
        """
    )
    agents = [agent(key, command, "--config", str(config)) for command in ("watch", "ship")]
    try:
        assert wait_for(lambda: usage(server, staff) == (before[0] + 500_039, before[1] + 1), 60)
        end = time.time()
        # Squid rounds: the start in the log is off by a millisecond.
        elapsed = int((end - start) * 1000) + 1
        listing.write_text("")
        log.write_text(
            f"{end:.3f} {elapsed} 192.0.2.7 TCP_TUNNEL/200 600039 CONNECT a.example:443 gw-1 HIER_DIRECT/- - 9\n"
        )
        assert wait_for(lambda: usage(server, staff) == (before[0] + 600_039, before[1] + 1), 60)
    finally:
        for process in (*agents, manager):
            process.terminate()
            process.wait(30)
        manager.stdout.close()
