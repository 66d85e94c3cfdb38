"""What clients receive when something is wrong before any application code sees it, or despite it."""

from __future__ import annotations

import json
import re

import pytest

from tests.server.wire import RANGE, answers, family_of, request
from tests.serving import Server, body_of, row

FAMILIES = {
    "/x": "fonproxy",
    "/analytics/x": "fonproxy",
    "/orders/x": "fonproxy",
    "/auth/token/": "fonproxy",
    "/api/v1/x": "weproxies",
    "/api/v1/": "weproxies",
    "/1/x": "apinalytics",
    "/1/event/x": "apinalytics",
    "/1.0/public/user/x": "byteful",
    "/log/x": "byteful",
    "/log_summary/x": "byteful",
    "/residential_ledger/x": "byteful",
    "/mobile/x": "byteful",
}


# --- families ---


@pytest.mark.parametrize(("path", "family"), FAMILIES.items())
def test_an_unknown_route_has_its_familys_error(server: Server, path: str, family: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = server.call(method, path)
        # Under this prefix a missing credential is reported before a missing route.
        status = 401 if path.startswith("/1.0/public/user/") else 404
        assert (answer.status, family_of(answer.json)) == (status, family)
        assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/x", "/api/v1/x", "/1/x", "/log/x"])
def test_errors_of_the_web_server_have_the_familys_shape(server: Server, path: str) -> None:
    flood = [f"X-{n}: {'a' * 1000}" for n in range(300)]
    sent = {
        400: request(f"POST {path} HTTP/1.1", "Host: localhost", "Content-Length: x"),
        413: request(f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {2**30}"),
        431: request(f"POST {path} HTTP/1.1", "Host: localhost", *flood),
        501: request(f"POST {path} HTTP/1.1", "Host: localhost", "Transfer-Encoding: gzip"),
    }
    for status, text in sent.items():
        [answer] = answers(server, text)
        assert (answer.status, family_of(answer.json)) == (status, FAMILIES[path])
        assert answer.headers["X-Request-Id"]
        # A page of another origin sees an error without this header as a broken connection.
        assert answer.headers.get("Access-Control-Allow-Origin") == ("*" if path == "/1/x" else None)


@pytest.mark.parametrize("path", ["/x", "/api/v1/x", "/1/x", "/log/x", "/healthz", "/orders"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "a b", "localhost:x", "", "@", "\u00e9"])
def test_another_host_is_refused(server: Server, path: str, host: str) -> None:
    received = server.raw(request(f"GET {path} HTTP/1.1", f"Host: {host}"))
    assert received.split(b" ", 2)[1] == b"400"
    error = json.loads(received[received.index(b"{") : received.rindex(b"}") + 1])
    assert family_of(error) == FAMILIES.get(path, "fonproxy")
    assert host not in error.values()


# --- request lines and methods ---


def test_the_host_of_a_url_in_the_request_line_replaces_the_header(server: Server) -> None:
    for named, header, status in (("localhost", "evil.example", b"200"), ("evil.example", "localhost", b"400")):
        received = server.raw(request(f"GET http://{named}/healthz HTTP/1.1", f"Host: {header}", "Connection: close"))
        assert received.split(b" ", 2)[1] == status


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "GET",
        "GET  / HTTP/1.1",
        "get / HTTP/1.1",
        "GET / HTTP/x",
        "GET /\xff HTTP/1.1",
        "GET http://[ HTTP/1.1",
        "\0",
    ],
)
def test_a_malformed_request_line_is_answered(server: Server, line: str) -> None:
    [answer] = answers(server, request(line))
    assert (answer.status, family_of(answer.json)) == (400, "fonproxy")


@pytest.mark.parametrize("header", ["no colon", "a b: c", " folded first", "X\0: a", "X: a\rb", ": a"])
def test_a_malformed_header_is_answered(server: Server, header: str) -> None:
    [answer] = answers(server, request("GET /healthz HTTP/1.1", header, "Host: localhost"))
    assert (answer.status, family_of(answer.json)) == (400, "fonproxy")


@pytest.mark.parametrize(
    "path", ["/%00", "/%ff", "/%2e%2e/etc/passwd", "//x", "/../x", "/\u00e9".encode().decode("latin-1")]
)
def test_odd_paths_are_not_found(server: Server, path: str) -> None:
    received = server.raw(request(f"GET {path} HTTP/1.1"))
    assert received.split(b" ", 2)[1] in (b"404", b"400")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/analytics/traffic"),
        ("GET", "/analytics/ingest"),
        ("PUT", "/orders"),
        ("BREW", "/orders"),
        ("TRACE", "/orders"),
    ],
)
def test_an_unsupported_method_is_refused_and_the_supported_ones_are_listed(
    server: Server, method: str, path: str
) -> None:
    key = server.keys["INGEST_KEY" if path == "/analytics/ingest" else "READ_KEY"]
    answer = server.call(method, path, x_api_key=key)
    assert (answer.status, family_of(answer.json)) == (405, "fonproxy")
    assert method not in answer.headers["Allow"].split(", ")


def test_odd_methods_cause_no_server_error(server: Server) -> None:
    for method in ("OPTIONS", "PATCH", "CONNECT", "PROPFIND", "A" * 1000):
        for path in ("/healthz", "/openapi.json", "/docs", "/orders", "/auth/token", "/admin/login/", "/static/x", "*"):
            assert server.call(method, path).status < 500


@pytest.mark.parametrize("path", ["/healthz", "/x", "/openapi.json", "/docs", "/orders", "/static/admin/css/base.css"])
def test_head_is_get_without_the_body(server: Server, path: str) -> None:
    got = server.call("GET", path)
    sent = request(f"HEAD {path} HTTP/1.1") + request("GET /healthz HTTP/1.1")
    head, _, after = server.raw(sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % got.status)
    assert re.search(rb"Content-Length: (\d+)", head)[1] == got.headers["Content-Length"].encode()  # type: ignore[index]
    assert after.startswith(b"HTTP/1.1 200 OK\r\n")
    assert after.endswith(b'{"status": "ok"}')


# --- formats and parameters ---


def test_a_client_that_accepts_none_of_our_types_gets_json(server: Server) -> None:
    for accept in ("application/xml", "image/*", "nonsense", ";;;", "a/b;q=x", "*/*;q=0", ""):
        answer = server.get(f"/analytics/traffic?{RANGE}", Accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert server.get(f"/analytics/traffic?{RANGE}", Accept="text/csv").headers["Content-Type"].startswith("text/csv")
    assert server.get(f"/analytics/traffic?{RANGE}&format=csv", Accept="application/json").body.startswith(
        b"\xef\xbb\xbfbucket,"
    )


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ("format=xml", "format"),
        ("format=csv&format=csv", "format"),
        ("interval=1h&interval=1h", "interval"),
        ("domain=&domain=", "domain"),
        ("interval=1H", "interval"),
        ("fill=perhaps", "fill"),
        ("tz=Mars/Olympus", "tz"),
        ("tz=../../etc/passwd", "tz"),
    ],
)
def test_a_bad_or_repeated_parameter_is_named(server: Server, extra: str, name: str) -> None:
    for path in ("/analytics/traffic", "/analytics/requests"):
        answer = server.get(f"{path}?{RANGE}&{extra}")
        assert (answer.status, family_of(answer.json)) == (400, "fonproxy")
        assert [error["field"] for error in answer.json["errors"]] == [name]


def test_an_empty_parameter_counts_as_absent_and_an_unknown_one_is_ignored(server: Server) -> None:
    plain = server.get(f"/analytics/traffic?{RANGE}")
    more = server.get(f"/analytics/traffic?{RANGE}&interval=&fill=&tz=&domain=&orderId=&format=&x=1&x=2&%ff=%00")
    assert (more.status, more.body) == (200, plain.body)
    missing = server.get("/analytics/traffic?from=&to=")
    assert missing.status == 400
    assert {error["field"] for error in missing.json["errors"]} == {"from", "to"}


@pytest.mark.parametrize(
    "query", ["a" * 200_000, "domain=" + "a" * 200_000, "&" * 200_000, "=".join("abc" * 999), "%" * 9999]
)
def test_a_huge_query_string_causes_no_server_error(server: Server, query: str) -> None:
    assert server.get(f"/analytics/traffic?{RANGE}&{query}").status in (200, 400, 431)
    assert server.get("/analytics/traffic?" + "&".join(f"p{n}=1" for n in range(5000))).status == 400
    assert server.get(f"/orders?{query * 2}").status in (200, 431)


@pytest.mark.parametrize("charset", ["hex", "idna", "undefined", "raw_unicode_escape", "latin-1"])
def test_no_charset_in_a_request_causes_a_server_error(server: Server, charset: str) -> None:
    for path in ("/sign-in?next=x", "/proxies?x=1", "/admin/login/?x=1", "/analytics/traffic?from=x"):
        assert server.call("GET", path, Content_Type=f"text/plain; charset={charset}").status < 500
    body = b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n\\ud800\xff\r\n--b--\r\n'
    form = f"multipart/form-data; boundary=b; charset={charset}"
    assert server.call("POST", "/sign-in", body, Content_Type=form).status < 500
    assert server.call("POST", "/auth/token", body, Content_Type=f"application/json; charset={charset}").status == 400


# --- slashes ---


@pytest.mark.parametrize(
    "path",
    [
        f"/analytics/traffic?{RANGE}",
        "/geo/counts",
        "/api/v1/usage",
        "/api/v1/usage/alerts",
        "/log/search?page=1",
        "/1.0/public/user/log/search",
        "/1.0/public/user/customer/retrieve",
        "/mobile/summary",
    ],
)
def test_a_client_may_join_base_url_and_path_with_too_many_slashes(server: Server, path: str) -> None:
    route, mark, query = path.partition("?")
    expected = server.get(path)
    assert expected.status == 200, expected.body
    for written in (f"{route}/", f"/{route}", f"//{route}/", route.replace("/", "//")):
        assert server.get(f"{written}{mark}{query}").status == 200, written
        assert server.get(f"{server.url}{written}{mark}{query}").status == 200, written


def test_rows_and_alerts_may_be_sent_with_a_final_slash(server: Server) -> None:
    large = body_of(*[row(domain=f"slash-{n}.example") for n in range(2000)])
    pushed = server.call("POST", "/analytics/ingest/", large, x_api_key=server.keys["INGEST_KEY"])
    assert pushed.status == 204, pushed.body
    refused = server.call("POST", "//api/v1/usage/alerts/", b"{}", x_api_key=server.keys["READ_KEY"])
    assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["/api/v1//", "/log//", "//x", "/auth/token/", "//evil.example/x", "/log/search/x/"])
def test_extra_slashes_make_no_route(server: Server, path: str) -> None:
    answer = server.get(path)
    assert (answer.status, answer.headers["Location"]) == (404, None)
