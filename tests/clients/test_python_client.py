"""The Python client against a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from fonproxy_client import ApiError, FonProxyClient, InvalidWebhook, verify_webhook

from fonproxy.webhooks import new_secret, signature
from tests.serving import Server, row, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(FONPROXY_THROTTLE_PUBLIC="1/hour") as running:
        yield running


def test_the_client_reads_pushed_rows_from_every_page(server: Server) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    rows = [row(ts=f"{now:%Y-%m-%d %H:%M:%S}", domain=f"{number}.example", count=1) for number in range(30)]
    gateway = FonProxyClient(server.url, server.keys["INGEST_KEY"])
    for _ in range(2):
        gateway.ingest(rows, idempotency_key="once")
    logs = [{"log_request_datetime": f"{now:%Y-%m-%d %H:%M:%S}", "proxy_user_id": "alice"} for _ in range(5)]
    gateway.post("/log/ingest", {"logs": logs})
    client = FonProxyClient(server.url, server.keys["READ_KEY"])
    day = f"{now:%Y-%m-%d}"
    domains = [found["domain"] for found in client.analytics("websites", day, day)]
    assert len(domains) == len(set(domains)) == 31
    assert sum(int(point["total_count"]) for point in client.analytics("requests", day, day, tz="UTC")) == 35
    assert client.usage("today", tz="UTC")["total"]["requests"] == 35
    assert {found["product"]["name"] for found in client.subscriptions(per_page=1)} == {
        "Residential 100 GB",
        "Mobile 20 GB",
    }
    assert len(list(client.search("log", per_page=2))) == 5
    assert client.get("/api/v1/me")["data"]["username"] == "alice"


def test_a_refusal_names_fields_and_reasons(server: Server) -> None:
    client = FonProxyClient(server.url, server.keys["READ_KEY"])
    with pytest.raises(ApiError) as refused:
        client.get("/analytics/traffic", from_="2026-01-01", to="2026-01-02", interval="2h")
    assert (refused.value.status, refused.value.errors[0]["field"]) == (400, "interval")
    assert refused.value.request_id
    with pytest.raises(ApiError, match="403"):
        client.post("/api/v1/usage/alerts", {})
    with pytest.raises(ApiError, match="proxy_id"):
        list(client.search("log", proxy_id=1))
    with pytest.raises(ApiError, match="401"):
        FonProxyClient(server.url, "fnp_nonsense").usage()
    with pytest.raises(ValueError, match="https://"):
        FonProxyClient("file:///etc/passwd", "k")


def test_throttled_reads_are_retried_after_the_retry_after_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("fonproxy_client.client.time", SimpleNamespace(sleep=waits.append))
    client = FonProxyClient(server.url, server.keys["READ_KEY"])
    client.get("/geo/counts")
    with pytest.raises(ApiError, match="429"):
        client.get("/geo/counts")
    assert waits == [60.0] * 3


def signed(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """As FonProxy signs, while its secret is changed."""
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": f"v1,bm9uZQ== {signature(secret, 'msg_1', timestamp, body)}",
    }


def test_a_webhook_is_accepted_if_it_is_signed_and_recent() -> None:
    secret, body = new_secret(), json.dumps({"type": "usage.alert"}).encode()
    text = f"whsec_{secret}"
    assert verify_webhook(text, signed(secret, 1000, body), body, now=1100) == {"type": "usage.alert"}
    wrong: list[tuple[dict[str, str], bytes, float]] = [
        (signed(secret, 1000, body), body + b" ", 1100),
        (signed(new_secret(), 1000, body), body, 1100),
        (signed(secret, 1000, body), body, 1301),
        ({}, body, 1100),
        (signed(secret, 1000, body) | {"Webhook-Signature": "v1,ü"}, body, 1100),
    ]
    for headers, content, now in wrong:
        with pytest.raises(InvalidWebhook):
            verify_webhook(text, headers, content, now=now)
