"""What clients are told when something is wrong before any application code looks at it, or in spite of it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving import Answer, Server, serving

RANGE = "from=2026-01-01&to=2026-01-02"
FAMILIES = {
    "/x": "fonproxy",
    "/": "fonproxy",
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
    "/analytics/graph": "byteful",
    "/analytics/breakdown": "byteful",
}


def family_of(error: dict[str, Any]) -> str:
    match error:
        case {"success": False, "error": {"code": str(), "message": str(), "details": dict()}} if len(error) == 2:
            return "weproxies"
        case {"error": str(), "message": str(), "api_request_id": str(identity)} if len(error) == 3:
            return f"byteful{'' if uuid.UUID(identity) else '?'}"
        case {"error": str()} if len(error) == 1:
            return "apinalytics"
        case {"message": str(), "detail": str(), "path": str(), "timestamp": str(), "errors": list()}:
            return "fonproxy"
    return "none"


def answers(server: Server, sent: bytes) -> list[Answer]:
    """The responses to these bytes; all but those to a HEAD announce their length."""
    found = []
    rest = server.raw(sent)
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["Content-Length"])
        found.append(Answer(int(start.split()[1]), headers, rest[:length]))  # type: ignore[arg-type]  # read alike
        rest = rest[length:]
    return found


def request(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, *(headers or ["Host: localhost"]), "", ""]).encode("latin-1")


# --- families ---


@pytest.mark.parametrize(("path", "family"), FAMILIES.items())
def test_an_unknown_route_has_its_familys_error(server: Server, path: str, family: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = server.call(method, path)
        assert (answer.status, family_of(answer.json)) == (404, family)
        assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/x", "/api/v1/x", "/1/x", "/log/x"])
def test_what_the_server_refuses_itself_has_its_familys_error(server: Server, path: str) -> None:
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


@pytest.mark.parametrize("path", ["/x", "/api/v1/x", "/1/x", "/log/x", "/healthz", "/orders"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "a b", "localhost:x", "", "@", "\u00e9"])
def test_another_host_is_refused(server: Server, path: str, host: str) -> None:
    received = server.raw(request(f"GET {path} HTTP/1.1", f"Host: {host}"))
    assert received.split(b" ", 2)[1] == b"400"
    error = json.loads(received[received.index(b"{") : received.rindex(b"}") + 1])
    assert family_of(error) == FAMILIES.get(path, "fonproxy")
    assert host not in error.values()


# --- request lines and methods ---


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
def test_a_method_that_a_route_has_not_is_refused_with_those_it_has(server: Server, method: str, path: str) -> None:
    key = server.keys["INGEST_KEY" if path == "/analytics/ingest" else "READ_KEY"]
    answer = server.call(method, path, x_api_key=key)
    assert (answer.status, family_of(answer.json)) == (405, "fonproxy")
    assert method not in answer.headers["Allow"].split(", ")


def test_nothing_an_odd_method_asks_for_is_a_fault_of_the_server(server: Server) -> None:
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


def test_who_accepts_nothing_that_we_have_gets_json(server: Server) -> None:
    for accept in ("application/xml", "image/*", "nonsense", ";;;", "a/b;q=x", "*/*;q=0", ""):
        answer = server.get(f"/analytics/traffic?{RANGE}", Accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert server.get(f"/analytics/traffic?{RANGE}", Accept="text/csv").headers["Content-Type"].startswith("text/csv")
    assert server.get(f"/analytics/traffic?{RANGE}&format=csv", Accept="application/json").body.startswith(b"bucket,")


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
        ("domain=" + "a" * 256, "domain"),
        ("domain=%00", "domain"),
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
def test_a_huge_query_string_is_no_fault_of_the_server(server: Server, query: str) -> None:
    assert server.get(f"/analytics/traffic?{RANGE}&{query}").status in (200, 400)
    assert server.get("/analytics/traffic?" + "&".join(f"p{n}=1" for n in range(5000))).status == 400
    assert server.get(f"/orders?{query * 2}").status in (200, 431)


# --- request ids and logs ---


@pytest.mark.parametrize("given", ["a", "A-b_c.d:9", "x" * 128])
def test_a_sane_request_id_is_kept(server: Server, given: str) -> None:
    assert server.call("GET", "/orders", X_Request_Id=given).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a,b", "\u00e9", '"', "a;b", "<x>", "\x7f"])
def test_any_other_is_replaced(server: Server, given: str) -> None:
    text = request("GET /x HTTP/1.1", "Host: localhost", f"X-Request-Id: {given}")
    assert str(uuid.UUID(answers(server, text)[0].headers["X-Request-Id"])) != given


def test_bytefuls_error_carries_the_request_id(server: Server) -> None:
    given = str(uuid.uuid4())
    assert server.call("GET", "/log/x", X_Request_Id=given).json["api_request_id"] == given


def logged(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.logs().splitlines()]


def test_a_request_leaves_one_line_of_json_even_if_the_server_refused_it(server: Server) -> None:
    given = uuid.uuid4().hex
    server.get(f"/analytics/traffic?{RANGE}", X_Request_Id=given)
    [refused] = answers(server, request("POST /1/x HTTP/1.1", "Host: localhost", f"Content-Length: {2**30}"))
    lines = {entry["request_id"]: entry for entry in logged(server) if entry["logger"] == "fonproxy.access"}
    assert [entry["request_id"] for entry in logged(server)].count(given) == 1
    assert lines[given]["message"] == "GET /analytics/traffic 200"
    assert lines[given]["account"]
    assert lines[refused.headers["X-Request-Id"]]["message"] == "POST /1/x 413"


def test_logs_tell_no_secrets(server: Server) -> None:
    mark = f"secret{uuid.uuid4().hex}"
    body = json.dumps({"username": mark, "password": mark}).encode()
    assert server.call("POST", "/auth/token", body, Content_Type="application/json").status == 401
    for name in ("Authorization", "x_api_key", "Cookie", "X_API_Private_Key", "X_Auth_Key", "Idempotency_Key", "Host"):
        server.call("GET", f"/orders?key={mark}", **{name: f"Bearer {mark}" if name == "Authorization" else mark})
    server.post(mark.encode())
    server.raw(request(f"GET /x?{mark} HTTP/1.1", f"X-Key {mark}", "Host: localhost"))
    server.raw(request(f"GET http://[{mark} HTTP/1.1"))
    said = [entry for entry in logged(server) if mark in str(entry) and "HTTP_HOST" not in entry["message"]]
    assert said == []
    assert not any(key in server.logs() for key in (server.keys["INGEST_KEY"], server.keys["READ_KEY"]))


# --- throttles ---


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    limits = {
        f"FONPROXY_THROTTLE_{kind}": rate
        for kind, rate in (("READ", "5/min"), ("PUBLIC", "40/min"), ("TOKEN", "3/min"))
    }
    with serving(**limits) as running:
        yield running


def assert_throttled(answer: Answer) -> None:
    assert (answer.status, family_of(answer.json)) == (429, "fonproxy")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_reads_are_limited_by_credential(strict_server: Server) -> None:
    read = [strict_server.get("/orders", X_Forwarded_For=f"192.0.2.{n}").status for n in range(5)]
    assert read == [200] * 5
    assert_throttled(strict_server.get("/orders"))
    assert_throttled(strict_server.get(f"/analytics/traffic?{RANGE}"))
    assert strict_server.call("GET", "/orders", x_api_key=strict_server.keys["INGEST_KEY"]).status == 403
    assert strict_server.post(b'{"logs":[]}').status == 204


def test_passwords_are_tried_by_address_and_name_a_few_times(strict_server: Server) -> None:
    def attempt(name: str, **headers: str) -> Answer:
        body = json.dumps({"username": name, "password": "guess"}).encode()
        return strict_server.call("POST", "/auth/token", body, Content_Type="application/json", **headers)

    tried = [attempt(name, X_Forwarded_For=f"192.0.2.{n}").status for n, name in enumerate(("alice", "Alice", "ALICE"))]
    assert tried == [401] * 3
    assert_throttled(attempt("alice", X_Forwarded_For="192.0.2.9"))
    assert attempt("bob").status == 401
    assert [attempt(f"user{n}").status for n in range(40)][-1] == 429


def test_public_routes_are_limited_by_address(strict_server: Server) -> None:
    assert_throttled([strict_server.call("GET", "/openapi.json") for _ in range(41)][-1])
    assert strict_server.call("GET", "/healthz").status == 200
