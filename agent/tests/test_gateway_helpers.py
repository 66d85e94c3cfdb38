"""A real Squid admits exactly the logins that FonProxy admits."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fonproxy_agent.logins import LoginStore
from real_squid import SQUID, RealSquid, origin, real_squid
from running import AGENT, run_agent, wait_for
from stand_in import StandIn, stand_in
from test_helpers import FonProxy

pytestmark = pytest.mark.gateway

# Squid's user may not be allowed to run the Python of the tests, such as one below /root.
PYTHON = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin") or sys.executable
PACKAGES = Path(msgspec.__file__).parent.parent

SIGN_IN = """
auth_param basic program {directory}/helper squid-auth
auth_param basic children 1 concurrency=20
auth_param basic key_extras "%>a"
auth_param basic credentialsttl 1 minute
"""
RULES = """
external_acl_type fonproxy concurrency=20 children-max=1 ttl=1 negative_ttl=1 %LOGIN %SRC {directory}/helper squid-acl
acl may_pass external fonproxy
acl refusal src all
acl has_reason note reason
error_directory {pages}
deny_info ERR_REFUSED refusal
reply_header_add Proxy-Status "fonproxy; error=http_request_denied; details=%{{{{reason}}}}note" has_reason
http_access deny !signed_in
http_access deny !may_pass refusal
"""
HELPER = """#!/bin/sh
export FONPROXY_KEY=fnp_1 PYTHONPATH={agent}:{packages}
exec {python} -m fonproxy_agent "$1" --config {directory}/agent.toml 2>>{directory}/helper.log
"""


@pytest.fixture
def fonproxy() -> FonProxy:
    return FonProxy()


@pytest.fixture
def server(fonproxy: FonProxy) -> Iterator[StandIn]:
    with stand_in() as server:
        server.answer = lambda path, body: fonproxy.answer(path, body)
        yield server


@pytest.fixture
def directory(server: StandIn) -> Iterator[Path]:
    """A directory to which Squid's user may write."""
    with tempfile.TemporaryDirectory(prefix="fonproxy-helpers-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        config = f'url = "{server.url}"\nsign_in.database = "{directory}/logins.sqlite3"\n'
        shutil.copytree(AGENT.parent / "ops" / "squid" / "pages", directory / "pages")
        (directory / "agent.toml").write_text(config)
        (directory / "agent.toml").chmod(0o644)
        (directory / "helper").write_text(
            HELPER.format(agent=AGENT, python=PYTHON, packages=PACKAGES, directory=directory)
        )
        (directory / "helper").chmod(0o755)
        yield directory


@pytest.fixture
def squid(directory: Path) -> Iterator[RealSquid]:
    rules = RULES.format(directory=directory, pages=directory / "pages")
    with real_squid(SIGN_IN.format(directory=directory), rules) as squid:
        yield squid


def test_sign_in_and_access_are_decided_by_fonproxy(squid: RealSquid, fonproxy: FonProxy, directory: Path) -> None:
    with origin() as target:
        assert squid.status(target.port, "alice", "secret") == 200, (directory / "helper.log").read_text()
        assert squid.status(target.port, "alice", "wrong") == 407
        assert squid.status(target.port, "jörg smith\\x", "secret") == 200
        assert {"login": "alice", "clientIp": "127.0.0.1", "worker": fonproxy.asked[0]["worker"]} in fonproxy.asked
        answered = fonproxy.answer

        def stop(path: str, body: Any) -> tuple[int, Any]:
            status, answer = answered(path, body)
            if path == "/gateway/authorize" and status == 200:
                return 403, {"allowed": False, "reason": "exhausted"}
            return status, answer

        fonproxy.answer = stop  # type: ignore[method-assign]
        wait_for(lambda: squid.status(target.port, "alice", "secret") == 403)
        assert squid.status(target.port, "new", "secret") == 403
        assert squid.status(target.port, "new", "wrong") == 407


def test_a_stopped_login_gets_the_reason_and_no_password_prompt(squid: RealSquid, server: StandIn) -> None:
    server.answer = lambda path, body: (403, {"allowed": False, "reason": "suspended"})
    proxy = f"http://alice:secret@127.0.0.1:{squid.port}"
    curl = ["curl", "-s", "-i", "-x", proxy]
    said = subprocess.run([*curl, "http://127.0.0.1:9/"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("HTTP/1.1 403 ")
    assert "Proxy-Status: fonproxy; error=http_request_denied; details=suspended" in said
    assert "<p>The order of this login is suspended.</p>" in said
    tunnel = subprocess.run([*curl, "https://127.0.0.1:9/"], capture_output=True, text=True, check=False).stdout
    assert tunnel.startswith("HTTP/1.1 403 ")
    assert "details=suspended" in tunnel


@pytest.mark.parametrize("rules", ["", RULES], ids=["sign-in", "both"])
def test_check_reports_whether_squid_has_the_access_rule(directory: Path, server: StandIn, rules: str) -> None:
    (directory / "helper").rename(directory / "fonproxy-agent")
    sign_in, access = (text.replace("/helper ", "/fonproxy-agent ") for text in (SIGN_IN, rules))
    with real_squid(
        sign_in.format(directory=directory), access.format(directory=directory, pages=directory / "pages")
    ) as squid:
        with (directory / "agent.toml").open("a") as config:
            config.write(f'squid.manager = "{squid.url}"\n')
        checking = run_agent("check", "--config", str(directory / "agent.toml"), FONPROXY_KEY="fnp_1")
        said = checking.communicate(timeout=60)[0]
    assert (f"ok     Squid at {squid.url} asks squid-acl who may pass." in said) == bool(rules)
    assert ("has no external_acl_type with squid-acl" in said) == (not rules)


def test_error_pages_of_refused_requests_are_not_billed(squid: RealSquid, server: StandIn, fonproxy: FonProxy) -> None:
    """The log of a real Squid: a page of 3 KB and more for each refusal."""
    with origin() as target:
        assert squid.status(target.port, "alice", "wrong") == 407
        server.answer = lambda path, body: (403, {"allowed": False, "reason": "exhausted"})
        assert squid.status(target.port, "bob", "secret") == 403
        wait_for(lambda: squid.log.read_text().count("TCP_DENIED") == 2)
    sizes = [int(line.split()[4]) for line in squid.log.read_text().splitlines() if "TCP_DENIED" in line]
    assert min(sizes) > 300
    shipping = run_agent("ship", "squid", str(squid.log), "--url", server.url, FONPROXY_KEY="fnp_1")
    out, err = shipping.communicate(timeout=60)
    assert (shipping.returncode, err) == (0, "")
    assert "1 requests with a failed sign-in as 'alice' were left out." in out
    [row] = server.rows
    counted = [row[name] for name in ("proxy_user", "error", "count", "error_count", "bytes_sent", "bytes_received")]
    assert counted == ["bob", "TCP_DENIED/403", 1, 1, 0, 0]


def test_known_logins_pass_and_stopped_ones_do_not_while_fonproxy_is_unreachable(
    squid: RealSquid, fonproxy: FonProxy, directory: Path
) -> None:
    fonproxy.logins["alice"]["allowedIps"] = []
    fonproxy.logins["bob smith"]["verifier"] = fonproxy.logins["alice"]["verifier"]
    with origin() as target:
        assert squid.status(target.port, "carol", "secret") == 200
        store = LoginStore(directory / "logins.sqlite3")
        wait_for(lambda: store.find("bob smith"))
        wait_for(lambda: store.finished_at())
        fonproxy.status = 503
        assert squid.status(target.port, "alice", "secret") == 200
        assert squid.status(target.port, "alice", "wrong") == 407
        assert squid.status(target.port, "bob smith", "secret") == 403
        assert squid.status(target.port, "bob smith", "wrong") == 407
        assert squid.status(target.port, "stranger", "secret") == 407


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    ops = AGENT.parent / "ops" / "squid"
    text = (ops / "squid.conf").read_text().replace("/opt/fonproxy-agent/bin/fonproxy-agent", "/bin/true")
    (tmp_path / "squid.conf").write_text(text.replace("/etc/fonproxy-agent/pages", str(ops / "pages")))
    assert SQUID
    done = subprocess.run([SQUID, "-k", "parse", "-f", tmp_path / "squid.conf"], capture_output=True, text=True)
    assert (done.returncode, "ERROR" in done.stderr, "FATAL" in done.stderr) == (0, False, False), done.stderr
