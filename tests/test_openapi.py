"""The OpenAPI description covers every route, and none of it is guessed."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils.translation import trans_real

from analytics.byteful.log.ingest_row import LOG
from analytics.byteful.log.queries import MAX_COUNTED
from analytics.ingest.schema import RowSchema
from analytics.traffic.ingest_row import TRAFFIC


def test_the_description_is_valid_and_generated_without_warnings() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_the_description_is_the_same_for_every_caller(db: None) -> None:
    plain = Client().get("/openapi.json").content
    kept: dict[str, Any] = trans_real._translations  # type: ignore[attr-defined]  # by language
    before = set(kept)
    for query in ({"lang": "de", "version": "7"}, {"lang": "x" * 300}, {"version": "1\nX-Header: 1"}):
        answer = Client().get("/openapi.json", query)
        assert (answer.status_code, answer.content) == (200, plain)
    assert set(kept) == before  # nothing is kept of what callers send


def test_every_analytics_route_documents_its_parameters_and_errors(db: None) -> None:
    paths = Client().get("/openapi.json").json()["paths"]
    reads = [paths[f"/analytics/{read}"]["get"] for read in ("traffic", "requests", "concurrency", "domains", "errors")]
    assert all({"from", "to", "orderId", "tz"} <= {p["name"] for p in read["parameters"]} for read in reads)
    assert all({"200", "400", "401", "403", "404", "429", "503"} <= read["responses"].keys() for read in reads)
    assert {"204", "400", "409", "413", "503"} <= paths["/analytics/ingest"]["post"]["responses"].keys()


def test_every_operation_has_a_summary_on_one_line_without_a_full_stop(db: None) -> None:
    paths = Client().get("/openapi.json").json()["paths"]
    operations = [each for methods in paths.values() for name, each in methods.items() if name != "parameters"]
    wrong = [each["operationId"] for each in operations if not re.fullmatch(r".+[^.]", each.get("summary", ""))]
    assert wrong == []
    assert paths["/analytics/traffic"]["get"]["summary"] == "Bytes sent and received over time"
    assert "description" not in paths["/analytics/traffic"]["get"]
    export = paths["/applications/{id}/export"]["get"]
    assert export["description"].startswith("After an interrupted download")


def test_conflicts_of_provisioning_are_described(db: None) -> None:
    paths = Client().get("/openapi.json").json()["paths"]
    assert "409" in paths["/provisioning/orders/{externalId}/resume"]["post"]["responses"]
    assert "409" in paths["/provisioning/users/{externalId}"]["delete"]["responses"]


def test_description_shows_each_family_once_under_its_clients_paths(db: None) -> None:
    paths = Client().get("/openapi.json").json()["paths"]
    byteful = [path for path, methods in paths.items() for method in methods.values() if method["tags"] == ["Byteful"]]
    assert "/1.0/public/user/log/search" in byteful
    assert all(path.startswith("/1.0/public/user/") for path in byteful)
    assert [path for path in paths if path.startswith("/1/")] == ["/1/event/", "/1/timeseries/{start}/{end}/"]


def test_the_cap_on_a_log_searchs_count_is_described(db: None) -> None:
    schemas = Client().get("/openapi.json").json()["components"]["schemas"]
    described = {
        name: schemas[name]["properties"]["total_count"]["description"] for name in ("LogPage", "ResidentialLedgerPage")
    }
    assert f"{MAX_COUNTED + 1:,}" in described["LogPage"]
    assert described["ResidentialLedgerPage"] == "All matching rows."


@pytest.mark.parametrize(
    ("path", "schema"), [("/analytics/ingest", TRAFFIC), ("/1.0/public/user/log/ingest", LOG)], ids=["traffic", "log"]
)
def test_ingest_body_is_described_with_exactly_the_fields_that_are_decoded(
    path: str, schema: RowSchema[Any], db: None
) -> None:
    description = Client().get("/openapi.json").json()

    def resolved(node: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = description["components"]["schemas"][node["$ref"].rpartition("/")[2]]
        return found

    body = resolved(description["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"])
    row = resolved(body["properties"]["logs"]["items"])
    fields = msgspec.inspect.type_info(schema.row).fields  # type: ignore[attr-defined]  # a struct has them
    assert set(row["properties"]) == {field.encode_name for field in fields}
    assert set(row["required"]) == {field.encode_name for field in fields if field.required}


def test_limits_of_numbers_and_texts_in_the_ingest_body_are_those_that_are_enforced(db: None) -> None:
    row = Client().get("/openapi.json").json()["components"]["schemas"]["IngestRow"]["properties"]
    for field in msgspec.inspect.type_info(TRAFFIC.row).fields:  # type: ignore[attr-defined]  # as above
        described = row[field.encode_name]
        if isinstance(field.type, msgspec.inspect.IntType):
            assert (described["minimum"], described["maximum"]) == (field.type.ge, field.type.le)
        elif field.encode_name not in ("ip_out", "ip_from", "country", "ts"):  # these have formats of their own
            assert described["maxLength"] == field.type.max_length
