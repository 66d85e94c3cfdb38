"""Schemathesis calls every operation of the OpenAPI description, well and badly, and compares the answers with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import Server, serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
UNLIMITED = {f"FONPROXY_THROTTLE_{kind}": "1000000/min" for kind in ("READ", "PUBLIC", "TOKEN")}


def token_of(server: Server, username: str) -> str:
    body = json.dumps({"username": username, "password": server.keys["PASSWORD"]}).encode()
    answer = server.call("POST", "/auth/token", body, Content_Type="application/json")
    return f"Authorization: Bearer {answer.json['access']}"


def run(server: Server, header: str, examples: int, directory: Path) -> None:
    # It keeps a cache where it runs.
    ended = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", "--header", header,
            "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing", "--max-examples", str(examples),
            "--seed", "1", "--continue-on-failure", "--warnings", "off", "--no-color",
        ],
        cwd=directory,
        env={**os.environ, "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-10_000:]
    assert "Coverage" in ended.stdout


def test_no_answer_to_staff_is_a_server_error_or_undocumented(tmp_path: Path) -> None:
    with serving(**UNLIMITED) as server:
        run(server, token_of(server, "admin"), 5, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("caller", ["admin", "alice", "worker's key", "nobody"])
def test_nor_is_any_answer_to_other_callers_after_long_trying(caller: str, tmp_path: Path) -> None:
    with serving(**UNLIMITED) as server:
        headers = {"worker's key": f"x-api-key: {server.keys['INGEST_KEY']}", "nobody": "x-nobody: at all"}
        run(server, headers.get(caller) or token_of(server, caller), 100, tmp_path)
