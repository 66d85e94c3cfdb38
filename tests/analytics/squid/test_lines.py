"""What one line of the log means, and that no line is an accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.squid.lines import Fault, Request, domain_of, parse
from tests.analytics.squid.sample import native_log, whole_log

LINE = (
    "1795220843.689      5 127.0.0.1 TCP_MISS/200 5338 GET http://Shop.Example/f5.bin"
    " alice HIER_DIRECT/127.0.1.1 a/b 184\n"
)

REQUEST = Request(
    end_ms=1795220843689,
    duration_ms=5,
    login="alice",
    domain="shop.example",
    error="",
    bytes_sent=184,
    bytes_received=5338,
    method="GET",
    status=200,
    client="127.0.0.1",
)


def changed(**cells: str) -> bytes:
    names = ("time", "elapsed", "client", "result", "size", "method", "target", "login", "peer", "type", "sent")
    return (" ".join(cells.get(name, cell) for name, cell in zip(names, LINE.split(), strict=True)) + "\n").encode()


def test_a_line_is_a_request() -> None:
    assert parse(LINE.encode()) == REQUEST


def test_the_column_of_bytes_from_the_client_may_be_missing() -> None:
    assert parse(LINE.replace(" 184", "").encode()) == REQUEST._replace(bytes_sent=0)


@pytest.mark.parametrize(
    ("written", "client"),
    [("home.example", ""), ("fe80::1%eth0", ""), ("2001:DB8:0::1", "2001:db8::1"), ("::ffff:1.2.3.4", "1.2.3.4")],
)
def test_a_client_is_an_address_in_its_usual_spelling(written: str, client: str) -> None:
    assert parse(changed(client=written)) == REQUEST._replace(client=client)


@pytest.mark.parametrize(
    ("result", "peer", "error"),
    [
        ("TCP_MISS/200", "HIER_DIRECT/10.0.0.1", ""),
        ("TCP_MISS/404", "HIER_DIRECT/10.0.0.1", ""),
        ("TCP_MISS/503", "HIER_DIRECT/10.0.0.1", ""),
        ("TCP_MISS/503", "HIER_NONE/-", "TCP_MISS/503"),
        ("TCP_MISS/404", "HIER_NONE/-", ""),
        ("TCP_DENIED/407", "HIER_NONE/-", "TCP_DENIED/407"),
        ("TCP_DENIED_REPLY/403", "HIER_DIRECT/10.0.0.1", "TCP_DENIED_REPLY/403"),
        ("NONE_NONE/503", "HIER_DIRECT/10.0.0.1", "NONE_NONE/503"),
        ("TAG_NONE/400", "HIER_NONE/-", "TAG_NONE/400"),
        ("NONE/000", "HIER_NONE/-", "NONE/000"),
    ],
)
def test_only_what_the_proxy_itself_failed_at_is_an_error(result: str, peer: str, error: str) -> None:
    request = parse(changed(result=result, peer=peer))
    assert isinstance(request, Request)
    assert request.error == error


@pytest.mark.parametrize(
    ("method", "target", "domain"),
    [
        ("GET", "http://a.example/x?y#z", "a.example"),
        ("GET", "http://A.example:8080", "a.example"),
        ("GET", "https://user:password@a.example/", "a.example"),
        ("GET", "http://[2001:DB8::1]:80/", "2001:db8::1"),
        ("CONNECT", "a.example:443", "a.example"),
        ("CONNECT", "[2001:db8::1]:443", "2001:db8::1"),
        ("NONE", "error:invalid-request", ""),
        ("GET", "/relative", ""),
        ("GET", "http://", ""),
        ("GET", "http://" + "a" * 256 + "/", ""),
        ("CONNECT", "not a host", ""),
    ],
)
def test_the_domain_is_the_host_that_was_asked_for(method: str, target: str, domain: str) -> None:
    assert domain_of(method, target) == domain


@pytest.mark.parametrize(("written", "login"), [("-", ""), ("a%20b", "a b"), ("j%C3%B6rg", "jörg"), ("a b", "a b")])
def test_a_login_is_as_the_customer_gave_it(written: str, login: str) -> None:
    request = parse(changed(login=written))
    assert isinstance(request, Request)
    assert request.login == login


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"\n", Fault.EMPTY),
        (LINE.encode()[:-1], Fault.CUT_OFF),
        (LINE.encode()[:40] + b"\n", Fault.FORMAT),
        (changed(login="a\0"), Fault.NUL),
        (LINE.encode().replace(b"alice", b"\xff"), Fault.NOT_TEXT),
        (changed(login="%FF"), Fault.LOGIN),
        (changed(login="a" * 256), Fault.LOGIN),
        (changed(size="-1"), Fault.NUMBER),
        (changed(elapsed="-5"), Fault.NUMBER),
        (changed(size=str(2**44 + 1)), Fault.NUMBER),
        (changed(time="99999999999999.000"), Fault.NUMBER),
        (b"a" * 2**17 + b"\n", Fault.TOO_LONG),
    ],
)
def test_a_line_that_cannot_be_read_says_why(line: bytes, fault: Fault) -> None:
    assert parse(line) == fault


@given(st.binary() | st.text().map(str.encode))
def test_no_line_raises(line: bytes) -> None:
    assert isinstance(parse(line + b"\n"), Request | Fault)


def test_every_line_of_both_real_logs_is_read() -> None:
    for log in (whole_log(), native_log()):
        assert [line for line in log.splitlines(keepends=True) if isinstance(parse(line), Fault)] == []
