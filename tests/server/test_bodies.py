"""How the server handles every kind of ingest body."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.server.refusals import assert_refused, assert_row_refused
from tests.serving import Server, body_of, row

DEEP = b"[" * 10_000 + b"]" * 10_000
DAY = timedelta(days=1)


def text_with(field: str, value: str) -> bytes:
    """A valid row as JSON except for one value, which is written as given."""
    return json.dumps(row(**{field: "HERE"})).replace('"HERE"', value).encode()


def domain_like(start: str) -> str:
    return f"{start}{uuid.uuid4().hex}.example"


# --- the body as a whole ---


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'"logs"',
        b"null",
        b"7",
        b"{}",
        b'{"Logs":[]}',
        b'{"logs":null}',
        b'{"logs":{}}',
        b'{"logs":"[]"}',
        b'{"logs":[],}',
        b'{"logs":[]}{"logs":[]}',
        b'{"logs":[',
        body_of(row()).decode().encode("utf-16"),
        DEEP,
        b'{"more":' + DEEP + b',"logs":[]}',
        b'{"logs":' + DEEP + b"}",
        b'{"logs":[{"more":' + DEEP + b"}]}",
    ],
    ids=lambda body: f"{body[:20]!r}, {len(body)} bytes",
)
def test_a_body_without_an_array_of_logs_is_refused(server: Server, body: bytes) -> None:
    assert assert_refused(server, body)["message"] == "analytics.invalid_body"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "0x1", "+1", "1_000", "'1'"])
def test_values_outside_json_are_refused(server: Server, number: str) -> None:
    assert "not JSON" in assert_refused(server, b'{"logs":[' + text_with("count", number) + b"]}")["detail"]


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00\\ud800", "\\ud800x", "raw \0 NUL", "a\nb", "\\x41"])
def test_text_that_is_not_unicode_or_json_is_refused(server: Server, text: str) -> None:
    for field in ("domain", "proxy_user"):
        assert_refused(server, b'{"logs":[' + text_with(field, f'"{text}"') + b"]}")


def test_the_field_at_fault_is_named_where_there_is_one(server: Server) -> None:
    assert assert_refused(server, b"{}")["errors"] == [{"field": "logs", "message": "Is required."}]
    [error] = assert_refused(server, b'{"logs":7}')["errors"]
    assert error["field"] == "logs"


def test_an_empty_array_of_logs_is_accepted(server: Server) -> None:
    before = server.requests_of_alice()
    assert server.post(b'{"logs":[]}').status == 204
    assert server.requests_of_alice() == before


def test_the_last_value_of_a_repeated_field_wins(server: Server) -> None:
    domain, before = domain_like("twice-"), server.requests_of_alice()
    text = text_with("domain", f'"lost.example","domain":"{domain}"')
    assert server.post(b'{"logs":[' + text + b"]}").status == 204
    assert (server.requests_of_alice(domain), server.requests_of_alice() - before) == (1, 1)


def test_a_second_list_of_logs_is_refused(server: Server) -> None:
    before = server.requests_of_alice()
    [error] = assert_refused(server, body_of(row()).removesuffix(b"}") + b',"logs":[]}')["errors"]
    assert (error["field"], server.requests_of_alice()) == ("logs", before)


def test_unknown_fields_are_ignored(server: Server) -> None:
    domain = domain_like("unknown-")
    assert server.push(row(domain=domain, bytes=1.5, more={"a": [None]})).status == 204
    assert server.requests_of_alice(domain) == 1


# --- rows ---


@pytest.mark.parametrize(
    "number", [str(2**64), str(2**32 + 1), "-1", "1.0", "1e2", "1e400", '"12"', "true", "null", "[]"]
)
def test_a_count_is_a_whole_number_and_nothing_else(server: Server, number: str) -> None:
    assert assert_row_refused(server, text_with("count", number))["field"] == "count"


@pytest.mark.parametrize("text", ["null", "12", "true", '["a"]', '"' + "a" * 256 + '"', '"' + "\u00e9" * 256 + '"'])
def test_text_is_a_string_of_at_most_255_characters(server: Server, text: str) -> None:
    for field in ("domain", "worker"):
        assert assert_row_refused(server, text_with(field, text))["field"] == field


def test_any_255_characters_are_kept(server: Server) -> None:
    domain = (domain_like("long-") + "\u0436" * 255)[:255]
    assert server.push(row(domain=domain)).status == 204
    assert server.requests_of_alice(quote(domain)) == 1


@pytest.mark.parametrize(
    "label", ["\u05d0\u05d1\u05d2", "\u202ertl", "\U0001f984\U0001f1e9\U0001f1ea", "a\\u0000b", "\\ud83e\\udd84"]
)
def test_any_unicode_is_kept_and_can_be_queried(server: Server, label: str) -> None:
    written = f'"{label}.{uuid.uuid4().hex}"'
    assert server.post(b'{"logs":[' + text_with("domain", written) + b"]}").status == 204
    domain = json.loads(written)
    if "\0" not in domain:  # a query cannot express it
        assert server.requests_of_alice(quote(domain)) == 1
    assert domain in domains_of_alice(server)


@pytest.mark.parametrize(
    "ts",
    [
        "2026-02-30 00:00:00",
        "2026-13-01 00:00:00",
        "10000-01-01 00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-01-01 25:00:00",
        "2026-01-01 12:59:60",
        "yesterday",
        "",
        "\u0662\u0660\u0662\u0666-01-01 00:00:00",
        pytest.param((datetime.now(UTC) + 2 * DAY).isoformat(), id="ahead"),
        pytest.param((datetime.now(UTC) - 500 * DAY).isoformat(), id="too old"),
        1767225600,
        None,
    ],
)
def test_a_time_that_does_not_exist_or_lies_too_far_off_is_refused(server: Server, ts: Any) -> None:
    assert assert_row_refused(server, json.dumps(row(ts=ts)).encode())["field"] == "ts"


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.123456", "%Y-%m-%dT%H:%M:%S+00:00"]
)
def test_times_are_accepted_in_the_documented_format_and_iso_8601(server: Server, form: str) -> None:
    domain, at = domain_like("time-"), datetime.now(UTC) - timedelta(hours=1)
    assert server.push(row(domain=domain), row(domain=domain, ts=at.strftime(form))).status == 204
    assert server.requests_of_alice(domain) == 2


@pytest.mark.parametrize("port", [65536, -1, "443", 443.0])
def test_a_port_is_a_number_up_to_65535(server: Server, port: Any) -> None:
    assert assert_row_refused(server, json.dumps(row(port=port)).encode())["field"] == "port"
    assert server.push(row(port=65535)).status == 204


@pytest.mark.parametrize(
    "address", ["256.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4 ", "::g", "fe80::1%eth0", "1.2.3.4/8", "localhost", "\0"]
)
def test_an_address_is_well_formed(server: Server, address: str) -> None:
    for field in ("ip_out", "ip_from"):
        assert assert_row_refused(server, json.dumps(row(**{field: address})).encode())["field"] == field


def test_ipv4_and_ipv6_addresses_are_accepted(server: Server) -> None:
    assert (
        server.push(row(ip_out="203.0.113.9", ip_from="2001:db8::1"), row(ip_out="::ffff:1.2.3.4", ip_from="")).status
        == 204
    )


@pytest.mark.parametrize("country", ["USA", "U", "1A", "\u0443\u0441", "us "])
def test_a_country_has_two_letters(server: Server, country: str) -> None:
    assert assert_row_refused(server, json.dumps(row(country=country)).encode())["field"] == "country"
    assert server.push(row(country="us"), row(country="US"), row(country="")).status == 204


def test_a_row_needs_a_known_proxy_user_or_both_ids(server: Server) -> None:
    nobody = {name: value for name, value in row().items() if name != "proxy_user"}
    assert assert_row_refused(server, json.dumps(nobody).encode())["field"] == "user_id"
    assert assert_row_refused(server, json.dumps(nobody | {"user_id": 1}).encode())["field"] == "order_id"
    assert assert_row_refused(server, json.dumps(nobody | {"order_id": 1}).encode())["field"] == "user_id"
    assert assert_row_refused(server, json.dumps(row(proxy_user="nobody")).encode())["field"] == "proxy_user"
    assert assert_row_refused(server, json.dumps(row(proxy_user="al\0ice")).encode())["field"] == "proxy_user"
    assert server.push(nobody | {"user_id": 2**32, "order_id": 2**32}).status == 204


@pytest.mark.parametrize("text", [b"7", b"null", b"[]", b'"row"', b'{"domain":"caf\xe9"}'])
def test_a_row_that_is_not_an_object_or_utf_8_is_named_by_its_index(server: Server, text: bytes) -> None:
    assert assert_row_refused(server, text)["field"] == "row"


def test_the_first_hundred_bad_rows_are_named(server: Server) -> None:
    rows = [row(count=1 if n % 2 else -1) for n in range(300)]
    errors = assert_refused(server, body_of(*rows))["errors"]
    assert [error["index"] for error in errors] == list(range(0, 200, 2))
    assert {(error["field"], error["message"]) for error in errors} == {("count", "Expected int >= 0.")}


def domains_of_alice(server: Server) -> set[str]:
    now = datetime.now(UTC)
    answer = server.get(f"/analytics/websites?from={(now - DAY).date()}&to={now.date()}&limit=100")
    return {line["domain"] for line in answer.json["data"]}
