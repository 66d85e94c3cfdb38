"""The programs of WeProxies' reference run unchanged except for their base URL and token."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.serving import Server, row

PUBLISHED = Path(__file__).parent / "published"


def run(program: str, server: Server, *command: str) -> str:
    text = (PUBLISHED / f"{program}.txt").read_text()
    ours = text.replace("https://api.weproxies.com", server.url).replace("your_api_token", server.keys["READ_KEY"])
    assert text.count("https://api.weproxies.com") == text.count("your_api_token") == 1
    variables = {**os.environ, "NODE_PATH": str(PUBLISHED / "stand_ins"), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([*command, ours], env=variables, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def _traffic(server: Server) -> None:
    # Now, because the programs query the current month.
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    assert server.push(row(ts=now, country="DE", bytes_received=2**30)).status == 204


def test_the_usage_program_prints_its_figures(server: Server) -> None:
    lines = run("weproxies_usage.py", server, sys.executable, "-c").splitlines()
    patterns = [r"Total used this month: \d+\.\d+ GB", r"Total requests: \d+", r"Success rate: \d+\.\d%"]
    patterns += [r"\d{4}-\d\d-\d\d: \d+\.\d\d GB"] * 7
    assert len(lines) == len(patterns)
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(patterns, lines, strict=True)), lines
    assert any(not line.endswith(" 0.00 GB") for line in lines[3:])


def test_the_monitoring_program_reports_subscriptions(server: Server) -> None:
    printed = run("weproxies_monitor.py", server, sys.executable, "-c")
    found = dict(re.findall(r"(?:✅|⚠️ WARNING:) (.+?)(?: is at|:) (\d+\.\d)%", printed))
    assert found.keys() == {"Residential 100 GB", "Mobile 20 GB"}


def test_the_dashboard_program_prints_its_figures(server: Server) -> None:
    if shutil.which("node") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Node.js is not installed")
    lines = run("weproxies_dashboard.js", server, "node", "-e").splitlines()
    patterns = [r"Monthly Usage: \d+(\.\d+)? GB", r"Active Connections: \d+", r"Top Countries: ([A-Z]{2}, )*[A-Z]{2}"]
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(patterns, lines, strict=True)), lines
