"""Schemathesis calls every operation of the OpenAPI description, validly and invalidly, and checks the responses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

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
    # It keeps a cache in its working directory.
    ended = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", "--header", header,
            "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing", "--max-examples", str(examples),
            "--exclude-path", "/auth/sign-out",  # it would end the credential of the run
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


def call_every_operation(server: Server, role: str, examples: int) -> None:
    import schemathesis  # it takes a second, and most runs of the suite do not need it

    description = schemathesis.openapi.from_dict(server.call("GET", "/openapi.json").json)
    headers = {"x-api-key": server.keys[role]}
    quick = settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for operation in description.get_all_operations():

        @quick
        @given(case=operation.ok().as_strategy())  # type: ignore[union-attr]  # a broken description raises
        def call(case: Any) -> None:
            answer = case.call(base_url=server.url, headers=headers)
            assert answer.status_code < 500, answer.text

        call()


@pytest.mark.schemathesis
@pytest.mark.parametrize("role", ["READ_KEY", "INGEST_KEY"])
def test_no_call_generated_from_the_description_is_a_server_error(server: Server, role: str) -> None:
    call_every_operation(server, role, 4)


@pytest.mark.schemathesis
def test_no_answer_to_staff_is_a_server_error_or_undocumented(tmp_path: Path) -> None:
    with serving(**UNLIMITED) as server:
        run(server, token_of(server, "admin"), 5, tmp_path)


@pytest.mark.schemathesis
@pytest.mark.torture
@pytest.mark.parametrize("caller", ["admin", "alice", "worker's key", "nobody"])
def test_no_answer_to_other_callers_is_a_server_error_or_undocumented(caller: str, tmp_path: Path) -> None:
    with serving(**UNLIMITED) as server:
        headers = {"worker's key": f"x-api-key: {server.keys['INGEST_KEY']}", "nobody": "x-nobody: at all"}
        run(server, headers.get(caller) or token_of(server, caller), 100, tmp_path)
