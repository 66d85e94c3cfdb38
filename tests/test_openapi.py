"""The OpenAPI description describes every route, without a guess."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command
from django.test import Client


def test_the_description_is_valid_and_nothing_in_it_is_guessed() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_analytics_route_documents_its_parameters_and_errors(db: None) -> None:
    paths = Client().get("/openapi.json").json()["paths"]
    reads = [paths[f"/analytics/{read}"]["get"] for read in ("traffic", "requests", "concurrency", "domains", "errors")]
    assert all({"from", "to", "orderId", "tz"} <= {p["name"] for p in read["parameters"]} for read in reads)
    assert all({"200", "400", "401", "403", "404", "429", "503"} <= read["responses"].keys() for read in reads)
    assert {"204", "400", "409", "413", "503"} <= paths["/analytics/ingest"]["post"]["responses"].keys()
