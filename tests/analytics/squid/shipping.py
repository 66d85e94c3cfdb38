"""The command as an operator runs it, and what the server then has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.analytics.squid.sample import USERS, Counts
from tests.serving import ROOT, Server, environment

# Smaller chunks than an operator's, so that a log has enough of them for things to happen in between.
SMALL_CHUNKS = """
import sys
from analytics.squid import files, shipper
files.MAX_LINES, shipper.POLL_SECONDS, shipper.FIRST_PAUSE = int(sys.argv.pop(1)), 0.1, 0.1
shipper.LONGEST_PAUSE, shipper.QUIET_SECONDS = 0.5, 1.0
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "ship_squid_log", *sys.argv[1:]])
"""


def start(log: Path, url: str, key: str, *options: str, lines: int = 20_000) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SMALL_CHUNKS, str(lines), str(log), "--url", url, "--key", key, *options],
        cwd=ROOT,
        env=environment(log.parent / "settings"),
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
    """What the customers themselves are told, by domain."""
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
