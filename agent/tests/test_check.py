"""``check`` reports problems before a command fails on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fonproxy_agent.check import problem_of_ending
from running import AGENT, run_agent
from stand_in import StandIn, stand_in


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


def answer(path: str, body: Any) -> tuple[int, Any]:
    """FonProxy and Squid's cache manager in one."""
    if path.startswith("/provisioning/exhausted"):
        return 200, {"changes": [], "cursor": "7", "hasMore": False}
    return (200, b"") if path.startswith("/squid-internal-mgr/") else (204, b"")


def checked(directory: Path, server: StandIn, url: str = "", **environment: str) -> tuple[int, list[str]]:
    (directory / "key").write_text("fnp_1")
    (directory / "key").chmod(0o600)
    (directory / "agent.toml").write_text(
        f"""
        url = "{url or server.url}"
        key_file = "{directory}/key"
        squid.manager = "{server.url}"
        ship = {{file = "{directory}/access.log", watched = true}}
        watch.database = "{directory}/sessions.sqlite3"
        sign_in.database = "{directory}/logins.sqlite3"
        enforce = {{stopped_file = "{directory}/stopped", on_change = ["true"], end_connections = "no"}}
        """
    )
    process = run_agent("check", "--config", str(directory / "agent.toml"), **environment)
    out, err = process.communicate(timeout=60)
    assert err == ""
    return process.returncode, out.splitlines()


def test_a_correct_setup_passes_every_check(tmp_path: Path, server: StandIn) -> None:
    server.answer = answer
    (tmp_path / "access.log").write_bytes((AGENT / "tests" / "data" / "native.log").read_bytes())
    code, lines = checked(tmp_path, server)
    assert (code, [line for line in lines if not line.startswith("ok")]) == (0, [])
    assert f"ok     300 of the last 300 lines of {tmp_path}/access.log can be read." in lines
    assert "ok     The API key may read the cut-off feed." in lines


def wrong(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line.startswith("WRONG"))


def test_each_problem_is_reported(tmp_path: Path, server: StandIn) -> None:
    server.answer = lambda path, body: (403, {"detail": "No."}) if "exhausted" in path else answer(path, body)
    (tmp_path / "access.log").write_text("nonsense\n")
    code, lines = checked(tmp_path, server)
    assert code == 1
    assert "lacks the scope 'gateway'" in wrong(lines)
    assert "0 of the last 1 lines" in wrong(lines)


def squid_with(sign_in: str, access: str) -> Any:
    pages = {"basicauthenticator": sign_in, "external_acl": access}

    def respond(path: str, body: Any) -> tuple[int, Any]:
        listed = pages.get(path.rpartition("/")[2])
        return answer(path, body) if listed is None else (200, listed.encode())

    return respond


PROGRAM = "Statistics:\n  program: {}\n  number active: 1 of 2 (0 shutting down)\n"
OURS = PROGRAM.format("/opt/fonproxy-agent/bin/fonproxy-agent")
OTHER = PROGRAM.format("/usr/lib/squid/ext_session_acl")


@pytest.mark.parametrize("access", ["", OTHER], ids=["none", "another"])
def test_sign_in_without_the_access_rule_is_named(tmp_path: Path, server: StandIn, access: str) -> None:
    server.answer = squid_with(OURS, access)
    (tmp_path / "access.log").write_text("")
    code, lines = checked(tmp_path, server)
    assert code == 1
    assert "asks squid-auth but has no external_acl_type with squid-acl" in wrong(lines)


@pytest.mark.parametrize(("sign_in", "access"), [(OURS, OTHER + OURS), (OTHER, "")], ids=["both", "neither"])
def test_a_missing_access_rule_is_reported_only_with_our_sign_in_helper(
    tmp_path: Path, server: StandIn, sign_in: str, access: str
) -> None:
    server.answer = squid_with(sign_in, access)
    (tmp_path / "access.log").write_text("")
    code, lines = checked(tmp_path, server)
    assert (code, wrong(lines)) == (0, "")
    assert any("asks squid-acl" in line for line in lines) == (sign_in == OURS)


def test_without_ss_connections_cannot_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert problem_of_ending() == "The program ss is missing: install iproute2."


def test_an_unreachable_fonproxy_and_squid_and_a_missing_log_are_named(tmp_path: Path, server: StandIn) -> None:
    server.answer = lambda path, body: (500, {})
    code, lines = checked(tmp_path, server, url="http://127.0.0.1:1")
    assert code == 1
    for said in ("FonProxy is unreachable", "access.log cannot be read", "answered 500"):
        assert said in wrong(lines)
