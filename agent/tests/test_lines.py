"""The meaning of a line of the log; no line raises."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import pytest
from fonproxy_agent.request import LineError, Request
from fonproxy_agent.squid.lines import domain_of, parse
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parent / "data"
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


def test_each_line_is_one_request() -> None:
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
def test_only_failures_of_the_proxy_itself_are_errors(result: str, peer: str, error: str) -> None:
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
def test_the_domain_is_the_requested_host(method: str, target: str, domain: str) -> None:
    assert domain_of(method, target) == domain


@pytest.mark.parametrize(
    ("written", "login"),
    [
        ("-", ""),
        ("a%20b", "a b"),
        ("j%C3%B6rg", "jörg"),
        ("j%f6rg", "jörg"),
        ("a b", "a b"),
        ("CORP\\\\pat01", "CORP\\pat01"),
        ("CORP\\\\roy", "CORP\\roy"),
        ("CORP%5Cnat", "CORP\\nat"),
        ("a\\rb\\nc", "a\rb\nc"),
        ("a\\tb", "a\\tb"),
        ("100%25", "100%"),
        ("100%", "100%"),
        ("%2525", "%25"),
        ('a b%5b1%5d%25"%c3%b6', 'a b[1]%"ö'),
        ("a%00b", "a\ufffdb"),
        ("pat@example.com", "pat@example.com"),
        ("CORP/pat", "CORP/pat"),
    ],
)
def test_a_login_is_unescaped_once(written: str, login: str) -> None:
    request = parse(changed(login=written))
    assert isinstance(request, Request)
    assert request.login == login


def test_a_login_that_is_not_utf_8_is_latin_1() -> None:
    request = parse(LINE.encode().replace(b"alice", b"j\xf6rg"))
    assert isinstance(request, Request)
    assert request.login == "jörg"


def test_a_login_longer_than_fonproxy_allows_is_not_attributed() -> None:
    request = parse(changed(login="a" * 256))
    assert isinstance(request, Request)
    assert request.login == "a" * 254 + "…"


def test_a_space_belongs_to_the_login_or_to_the_url() -> None:
    request = parse(changed(target="http://a.example/b c", login="d"))
    assert isinstance(request, Request)
    assert (request.login, request.shorter_logins, request.domain) == ("c d", ("d",), "a.example")


def test_the_target_of_connect_holds_no_space() -> None:
    request = parse(changed(method="CONNECT", target="a.example:443", login="b c d"))
    assert isinstance(request, Request)
    assert (request.login, request.shorter_logins) == ("b c d", ())


@pytest.mark.parametrize("login", ["-", "a b c -"])
def test_a_dash_is_no_login(login: str) -> None:
    request = parse(changed(login=login))
    assert isinstance(request, Request)
    assert request.login == ""


@pytest.mark.parametrize(
    ("result", "peer", "is_failed"),
    [
        ("TCP_DENIED/407", "HIER_NONE/-", True),
        ("TCP_DENIED_REPLY/407", "HIER_NONE/-", True),
        ("TCP_DENIED_ABORTED/407", "HIER_NONE/-", True),
        ("TCP_DENIED/401", "HIER_NONE/-", True),
        ("NONE_NONE/407", "HIER_NONE/-", True),
        ("TCP_DENIED/403", "HIER_NONE/-", False),
        ("TCP_MISS/407", "FIRSTUP_PARENT/192.0.2.1", False),
        ("TCP_MISS/401", "HIER_DIRECT/192.0.2.1", False),
        ("TCP_MEM_HIT/401", "HIER_NONE/-", False),
    ],
)
def test_a_login_without_authentication_is_not_attributed(result: str, peer: str, is_failed: bool) -> None:
    request = parse(changed(result=result, peer=peer))
    assert isinstance(request, Request)
    assert request.is_failed_sign_in == is_failed


@pytest.mark.parametrize(
    ("result", "status", "is_refused"),
    [
        ("TCP_DENIED/403", 403, True),
        ("TCP_DENIED_ABORTED/403", 403, True),
        ("TCP_DENIED_REPLY/403", 403, True),
        ("TCP_DENIED/302", 302, True),
        ("TCP_MISS/403", 403, False),
        ("TCP_TUNNEL/403", 403, False),
    ],
)
def test_the_error_page_of_a_refused_request_is_not_billed(result: str, status: int, is_refused: bool) -> None:
    request = parse(changed(result=result))
    assert isinstance(request, Request)
    assert (request.status, request.is_refused) == (status, is_refused)
    assert (request.bytes_sent == 0, request.bytes_received == 0) == (is_refused, is_refused)


HEADERS = rb"[X-A: %5by%5d carl HIER_DIRECT/9.9.9.9 z\r\nHost: a\r\n] "
HEADERS += rb"[HTTP/1.1 200 OK\r\nX-A: \\ bob HIER_DIRECT/1.2.3.4 a/b\r\n]"
DEFAULT = LINE.encode().removesuffix(b" 184\n")


@pytest.mark.parametrize(
    "line",
    [
        DEFAULT + b"\n",
        DEFAULT + b"\r\n",
        DEFAULT + b" " + HEADERS + b"\n",
        DEFAULT + b" [] []\n",
        DEFAULT + b" " + HEADERS.replace(b"Host: a", b"Cookie: " + b"c" * 2**18) + b"\n",
        DEFAULT.removesuffix(b" a/b") + b"\n",
        DEFAULT.removesuffix(b"a/b") + b"\n",
        DEFAULT.removesuffix(b"a/b") + b"-\n",
        DEFAULT.removesuffix(b"a/b") + b"(null)\n",
        DEFAULT.removesuffix(b"a/b") + b"\xff\xfe\xe9\n",
        DEFAULT.removesuffix(b"a/b") + b"99999999\n",
        DEFAULT.removesuffix(b"a/b") + b"HIER_DIRECT/1.1.1.1\n",
        DEFAULT.removesuffix(b"a/b") + b"TEXT/html\n",
        DEFAULT + b"; charset=utf-8\n",
        DEFAULT + b";charset=utf-8; boundary=x\n",
        DEFAULT + b" ; charset=utf-8 -\n",
        DEFAULT + b" -\n",
        DEFAULT.removesuffix(b"a/b") + b"a" * 9000 + b"\n",
        DEFAULT.replace(b"HIER_DIRECT/127.0.1.1", b"DEFAULT_PARENT/") + b"\n",
        DEFAULT.replace(b"HIER_DIRECT/127.0.1.1", b"TIMEOUT_HIER_DIRECT/parent.example") + b"\n",
        b"\xef\xbb\xbf" + DEFAULT + b"\n",
        b"\0\0\0\0" + DEFAULT + b"\n",
        b"Dec  4 03:31:46 host (squid-1): " + DEFAULT + b"\n",
        b"<134>Dec  4 03:31:46 host squid[4711]: " + DEFAULT + b"\n",
        b"2026-12-04T03:31:46.123456+00:00 host (squid-1): " + DEFAULT + b"\n",
        b"<134>1 2026-12-04T03:31:46Z host squid 4711 - - " + DEFAULT + b"\n",
        b"<134>1 2026-12-04T03:31:46Z host squid 4711 - - \xef\xbb\xbf" + DEFAULT + b"\n",
    ],
)
def test_an_unreadable_field_that_billing_does_not_need_skips_no_line(line: bytes) -> None:
    assert parse(line) == REQUEST._replace(bytes_sent=0)


@pytest.mark.parametrize("cut", [b"1795220843.6", DEFAULT.removesuffix(b".bin alice HIER_DIRECT/127.0.1.1 a/b")])
def test_zeros_where_a_crash_cut_a_line_off_do_not_cost_the_next(cut: bytes) -> None:
    assert parse(cut + b"\0" * 100 + LINE.encode()) == REQUEST
    odd = LINE.encode().replace(b"a/b 184", b"a\0b")
    assert parse(odd) == REQUEST._replace(bytes_sent=0)


@pytest.mark.parametrize("parameters", [b"; charset=utf-8", b" ; charset=utf-8 ; x=y", b";"])
def test_bytes_from_the_client_follow_the_parameters_of_a_content_type(parameters: bytes) -> None:
    assert parse(LINE.encode().replace(b"a/b", b"a/b" + parameters)) == REQUEST


@pytest.mark.parametrize(
    "target", ["http://a.example/ bob HIER_DIRECT/1.1.1.1 x;", "http://a/ bob HIER_DIRECT/1 ;x=1;"]
)
@pytest.mark.parametrize("kind", ["a/b", "12", "a/b; x=y"])
def test_url_cannot_move_bytes_to_another_login(target: str, kind: str) -> None:
    request = parse(changed(target=target, type=kind))
    assert isinstance(request, Request)
    assert request.shorter_logins[-1] == "alice"
    assert "bob" not in (request.login, *request.shorter_logins)


def test_bytes_from_the_client_follow_an_empty_content_type() -> None:
    assert parse(LINE.encode().replace(b"a/b", b"")) == REQUEST


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ({"elapsed": "-331"}, {"duration_ms": 0}),
        ({"elapsed": "-"}, {"duration_ms": 0}),
        ({"elapsed": "9" * 20}, {"duration_ms": 0}),
        ({"result": "TCP_MISS/-"}, {"status": 0}),
        ({"result": "TCP_MISS/9999"}, {"status": 0}),
        ({"method": "M" * 300}, {"method": "M" * 255}),
        ({"client": "-"}, {"client": ""}),
        ({"target": "http://" + "a" * 9000 + "/"}, {"domain": ""}),
        ({"time": "1795220843"}, {"end_ms": 1795220843000}),
        ({"time": "1795220843.689123"}, {}),
    ],
)
def test_odd_values_become_the_nearest_plain_ones(cells: dict[str, str], values: dict[str, Any]) -> None:
    assert parse(changed(**cells)) == REQUEST._replace(**values)


def test_a_domain_that_is_not_utf_8_is_latin_1() -> None:
    request = parse(LINE.encode().replace(b"Shop.Example", b"sh\xf6p.example"))
    assert isinstance(request, Request)
    assert request.domain == "shöp.example"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"\n", LineError.EMPTY),
        (b"\0\0\n", LineError.EMPTY),
        (LINE.encode()[:-1], LineError.TRUNCATED),
        (LINE.encode()[:40] + b"\n", LineError.FORMAT),
        (changed(size="-1"), LineError.NUMBER),
        (changed(size=str(2**44 + 1)), LineError.NUMBER),
        (changed(sent=str(2**44 + 1)), LineError.NUMBER),
        (changed(time="999999999999.000"), LineError.NUMBER),
        (b"a" * 2**19 + b"\n", LineError.FORMAT),
        (b"GET http://x.example/ " + LINE.encode(), LineError.FORMAT),
    ],
)
def test_an_unreadable_line_has_a_reason(line: bytes, error: LineError) -> None:
    assert parse(line) == error


@pytest.mark.parametrize(
    "piece", [b" ", b" [", b"a ", b"A/ ", b"] [", b" A/a", b"%", b"\\", b"x/", b"A/ ;x=y ", b"; x=y"]
)
def test_parsing_time_is_linear_in_line_length(piece: bytes) -> None:
    def cpu_seconds(size: int) -> float:
        filling = piece * (size // len(piece))
        line = DEFAULT.replace(b"f5.bin", b"f" + filling) + b" " + filling + b"x\n"
        began = time.process_time()
        parse(line)
        return time.process_time() - began

    # A hundred times the size: ten thousand times the cost if it were quadratic.
    assert cpu_seconds(100_000) < 1_000 * max(cpu_seconds(1_000), 0.005)


@given(st.binary() | st.text().map(str.encode))
def test_no_line_raises(line: bytes) -> None:
    assert isinstance(parse(line + b"\n"), Request | LineError)


def test_every_line_of_both_real_logs_is_read() -> None:
    whole, native = gzip.decompress((DATA / "access.log.gz").read_bytes()), (DATA / "native.log").read_bytes()
    for log in (whole, native):
        assert [line for line in log.splitlines(keepends=True) if isinstance(parse(line), LineError)] == []
