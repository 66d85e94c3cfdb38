"""Web pages of other origins: which families they may call, with which headers, and without cookies."""

from __future__ import annotations

import pytest
from django.test import Client

ORIGIN = "https://dashboard.example"
OPEN = ("/geo/counts", "/geo/countries", "/1/event/", "/1/events", "/1/timeseries/0/60/", "/geo/nope", "/1/nope")
CLOSED = (
    "/analytics/traffic",
    "/analytics/ingest",
    "/api/v1/usage",
    "/api/v1/usage/alerts",
    "/log/search",
    "/1.0/public/user/log/search",
    "/orders",
    "/api-keys",
    "/auth/token",
    "/applications",
    "/provisioning/geo-counts",
    "/gateway/logins",
    "/dashboard/",
    "/",
)
# A page often has one client for all its calls. jQuery, Axios and fetch wrappers add the last ones.
SENT = (
    *("x-auth-user", "x-auth-key", "content-type", "accept", "idempotency-key", "prefer", "content-encoding"),
    *("authorization", "x-api-key", "if-none-match", "x-request-id"),
    *("x-requested-with", "x-csrftoken", "cache-control", "pragma"),
)


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_preflight_allows_what_clients_in_pages_send(path: str, method: str) -> None:
    answer = Client().options(
        path,
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(SENT),
        },
    )
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, "*")
    assert set(SENT) <= set(answer["Access-Control-Allow-Headers"].split(", "))
    assert method in answer["Access-Control-Allow-Methods"].split(", ")
    assert "Access-Control-Allow-Credentials" not in answer


@pytest.mark.parametrize("path", CLOSED)
def test_a_preflight_of_other_routes_allows_nothing(db: None, path: str) -> None:
    client = Client()
    preflight = client.options(path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"})
    for answer in (preflight, client.get(path, headers={"Origin": ORIGIN})):
        assert not [name for name in answer.headers if name.startswith("Access-Control-")]


@pytest.mark.parametrize("path", OPEN)
def test_a_page_can_read_errors_and_the_headers_about_them(db: None, path: str) -> None:
    answer = Client().get(path, headers={"Origin": ORIGIN, "Authorization": "Bearer nonsense", "x-api-key": "nonsense"})
    assert answer["Access-Control-Allow-Origin"] == "*"
    exposed = answer["Access-Control-Expose-Headers"].split(", ")
    assert {"Content-Disposition", "ETag", "Retry-After", "X-Groups-Left-Out", "X-Request-Id"} <= set(exposed)
