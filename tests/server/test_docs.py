"""The reference: its description is valid, true, and shown without any other host's help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, settings

from tests.serving import Server

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ROUTES = {"/analytics/ingest", "/analytics/traffic", "/analytics/websites", "/auth/token", "/api-keys", "/orders"}


def test_the_description_is_valid_openapi(server: Server) -> None:
    answer = server.call("GET", "/openapi.json")
    assert answer.status == 200
    validate_schema(answer.json)  # type: ignore[no-untyped-call]
    assert set(answer.json["paths"]) >= ROUTES


def test_reads_are_described_with_their_parameters(server: Server) -> None:
    read = server.call("GET", "/openapi.json").json["paths"]["/analytics/traffic"]["get"]
    assert {parameter["name"] for parameter in read["parameters"]} >= {
        "from",
        "to",
        "interval",
        "tz",
        "domain",
        "orderId",
    }
    assert {"200", "400", "401"} <= set(read["responses"])


@pytest.mark.parametrize("role", ["READ_KEY", "INGEST_KEY"])
def test_no_call_that_can_be_made_of_it_is_a_fault_of_the_server(server: Server, role: str) -> None:
    description = schemathesis.openapi.from_dict(server.call("GET", "/openapi.json").json)
    headers = {"x-api-key": server.keys[role]}
    quick = settings(
        max_examples=4,
        deadline=None,
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


def test_the_reference_page_loads_without_errors_and_asks_no_other_host(server: Server) -> None:
    if not CHROMIUM.exists():
        assert "CI" not in os.environ, "Chromium is missing."
        pytest.skip("Chromium is not installed here.")
    from playwright.sync_api import sync_playwright

    problems: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/docs")
        page.get_by_text("/analytics/traffic", exact=True).first.wait_for()
        browser.close()
    assert problems == []
    assert len(asked) > 3
    assert [url for url in asked if not url.startswith((f"{server.url}/", "data:", "blob:"))] == []
