"""Request ids, and what the log says about a request."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.server.wire import RANGE, answers, request
from tests.serving import Server


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


def test_logs_hold_no_secrets(server: Server) -> None:
    mark = f"secret{uuid.uuid4().hex}"
    body = json.dumps({"username": mark, "password": mark}).encode()
    assert server.call("POST", "/auth/token", body, Content_Type="application/json").status == 401
    for name in ("Authorization", "x_api_key", "Cookie", "X_API_Private_Key", "X_Auth_Key", "Idempotency_Key", "Host"):
        server.call("GET", f"/orders?key={mark}", None, **{name: f"Bearer {mark}"})
    server.post(mark.encode())
    server.raw(request(f"GET /x?{mark} HTTP/1.1", f"X-Key {mark}", "Host: localhost"))
    server.raw(request(f"GET http://[{mark} HTTP/1.1"))
    server.call("GET", f"/join/{mark}/")  # a link with one character too many
    server.raw(request(f"POST /password-reset/MQ/{mark} HTTP/1.1", "Host: localhost", f"Content-Length: {2**30}"))
    # The log of a refused host names that host, so that an operator can allow it.
    said = [e for e in logged(server) if mark in str(e) and e["logger"] != "django.security.DisallowedHost"]
    assert said == []
    assert not any(key in server.logs() for key in (server.keys["INGEST_KEY"], server.keys["READ_KEY"]))
