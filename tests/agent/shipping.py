"""The command as an operator runs it, and the server's data afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.agent.sample import USERS, Counts
from tests.serving import ROOT, Server

# Smaller chunks and shorter pauses than in production, so that events fall between chunks.
SMALL_CHUNKS = """
import sys
from fonproxy_agent import files, shipper
files.MAX_LINES, shipper.POLL_SECONDS, shipper.FIRST_PAUSE = int(sys.argv.pop(1)), 0.1, 0.1
shipper.MAX_PAUSE, shipper.QUIET_SECONDS, shipper.REPORT_SECONDS = 0.5, 1.0, float(sys.argv.pop(1))
from fonproxy_agent.cli import main
sys.exit(main(["ship", "squid", *sys.argv[1:]]))
"""


def start(
    log: Path, url: str, key: str, *options: str, lines: int = 20_000, report_seconds: float = 60
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SMALL_CHUNKS, str(lines), str(report_seconds), str(log), "--url", url, *options],
        env={"PYTHONPATH": str(ROOT / "agent"), "FONPROXY_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ship(log: Path, server: Server, *options: str, key: str = "", lines: int = 20_000) -> tuple[int, str, str]:
    process = start(log, server.url, key or server.keys["INGEST_KEY"], *options, lines=lines)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def sign_in(server: Server) -> dict[str, str]:
    """A token for each customer."""
    return {user: _token(server, user) for user in USERS}


def _token(server: Server, user: str) -> str:
    body = json.dumps({"username": user, "password": server.keys["PASSWORD"]}).encode()
    token: str = server.call("POST", "/auth/token", body, Content_Type="application/json").json["access"]
    return token


def counted(server: Server, tokens: Mapping[str, str]) -> Counts:
    """The customers' own reads, by domain."""
    server.wait_until_readable()
    now = datetime.now(UTC)
    days = f"from={(now - timedelta(days=2)):%Y-%m-%d}&to={now:%Y-%m-%d}"
    told = {user: _domains(server, token, days) for user, token in tokens.items()}
    return {user: {row["domain"]: _counts(row) for row in rows} for user, rows in told.items() if rows}


def _domains(server: Server, token: str, days: str) -> list[dict[str, Any]]:
    answer = server.call("GET", f"/analytics/domains?{days}&limit=100", Authorization=f"Bearer {token}")
    assert answer.status == 200, answer.body
    rows: list[dict[str, Any]] = answer.json["data"]
    return rows


def _counts(row: dict[str, Any]) -> Counter[str]:
    return Counter(
        requests=int(row["total_count"]),
        sent=int(row["total_bytes_sent"]),
        received=int(row["total_bytes_received"]),
        errors=int(row["total_errors"]),
    )


def settled(log: Path) -> int:
    """How far the file being read is settled, whatever its current name."""
    return int(json.loads(log.with_name("access.log.fonproxy").read_text())["offset"])


def offset(log: Path) -> int:
    """How far the file that now has this name is settled."""
    try:
        state = json.loads(log.with_name("access.log.fonproxy").read_text())
    except FileNotFoundError:
        return -1
    is_this = state["file"]["began_ms"] == int(float(log.read_bytes()[:14]) * 1000)
    return int(state["offset"]) if is_this else -1


def wait_for(is_so: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.05)
    return False
