"""Headers that browsers and caches need, on every kind of answer."""

from __future__ import annotations

from tests.serving import Server

PATHS = ("/docs", "/openapi.json", "/healthz", "/admin/login/", "/geo/counts", "/orders", "/no/such/route", "/metrics")
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def test_every_answer_has_the_headers_that_protect_a_browser(server: Server) -> None:
    for path in PATHS:
        headers = server.call("GET", path).headers
        assert {name: headers.get(name) for name in EVERYWHERE} == EVERYWHERE, path
        assert headers["X-Frame-Options"] == "DENY", path
    headers = server.call("GET", "/static/admin/css/base.css").headers
    assert {name: headers.get(name) for name in EVERYWHERE} == EVERYWHERE


def test_refusals_by_the_web_server_have_nosniff_too(server: Server) -> None:
    answer = server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"X-Content-Type-Options: nosniff" in answer


def test_private_answers_are_not_cached_and_public_ones_may_be(server: Server) -> None:
    assert server.get("/orders").headers["Cache-Control"] == "private, no-store"
    assert server.get("/api/v1/subscriptions").headers["Cache-Control"] == "private, no-store"
    assert server.call("GET", "/geo/counts").headers["Cache-Control"] == "public, no-cache"


def test_no_error_is_cached(server: Server) -> None:
    for method, path in (
        ("GET", "/no/such/route"),
        ("DELETE", "/geo/counts"),
        ("GET", "/geo/countries"),
        ("GET", "/x/"),
    ):
        answer = server.call(method, path)
        assert (answer.status >= 400, answer.headers["Cache-Control"]) == (True, "private, no-store"), path
    refusal = server.raw(b"GET /geo/counts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n")
    assert refusal.startswith(b"HTTP/1.1 501")
    assert b"Cache-Control: private, no-store" in refusal


def test_the_csrf_cookie_is_not_sent_from_other_sites(server: Server) -> None:
    assert "SameSite=Lax" in server.call("GET", "/sign-in").headers["Set-Cookie"]
