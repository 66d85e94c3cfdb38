"""The guide for API users."""

from __future__ import annotations

import time
from typing import Any

from django.test import Client

from dashboard import guide
from fonproxy.api.docs import description
from fonproxy.webhooks import new_secret, signature


def test_every_operation_is_listed_once_with_its_summary(client: Client, db: None) -> None:
    paths = description()["paths"]
    described = {
        (method.upper(), path) for path, methods in paths.items() for method in methods if method != "parameters"
    }
    listed = [operation for audience in guide.audiences() for operation in audience.operations]
    assert {(operation.method, operation.path) for operation in listed} == described
    assert len(listed) == len(described)
    assert [operation for operation in listed if not operation.summary] == []
    page = client.get("/docs/guide")
    assert page.status_code == 200
    assert len(page.content) < 200_000
    assert [audience.id for audience in guide.audiences()] == ["customers", "gateways", "billing", "staff"]
    assert all(audience.operations for audience in guide.audiences())


def test_the_sample_verification_code_accepts_our_signatures_only() -> None:
    space: dict[str, Any] = {}
    exec(guide.WEBHOOK, space)
    secret, now = new_secret(), int(time.time())
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(now),
        "webhook-signature": signature(secret, "m", now, b"{}"),
    }
    assert space["is_genuine"](f"whsec_{secret}", headers, b"{}")
    assert not space["is_genuine"](f"whsec_{secret}", headers, b"{ }")
    assert not space["is_genuine"](f"whsec_{secret}", headers | {"webhook-timestamp": str(now - 301)}, b"{}")


def test_the_python_sample_is_valid_python() -> None:
    [python] = [sample for sample in guide.samples("https://usage.example.com") if sample.id == "python"]
    compile(python.text, "sample", "exec")
