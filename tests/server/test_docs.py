"""The reference: its description is valid and true. `tests/pages/test_docs.py` tests its page."""

from __future__ import annotations

from drf_spectacular.validation import validate_schema

from tests.serving import Server

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
