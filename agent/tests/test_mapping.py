"""Logs of other proxies, parsed by a mapping of fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fonproxy_agent.config import MappingConfig
from fonproxy_agent.errors import UsageError
from fonproxy_agent.mapping import PRESETS, MappedFormat
from fonproxy_agent.request import Ignored, LineError, Request
from fonproxy_agent.rows import aggregate, to_body
from hypothesis import given
from hypothesis import strategies as st

HAPROXY = (
    '<134>Nov 29 22:07:56 gw haproxy[12]: {"time":1795990071.500,"duration":1500,"login":"al \\"ice","target":'
    '"Shop.Example:8080","sent":184,"received":5338,"method":"GET","status":200,"state":"--","client":"192.0.2.7"}\n'
)
ENVOY = (
    '{"start_time":"2026-11-29T22:07:51.500Z","duration":1500,"method":"CONNECT","authority":"shop.example:443",'
    '"bytes_received":184,"bytes_sent":5338,"response_code":200,"login":"alice","downstream_remote_address":'
    '"[2001:db8::1]:40000","user_agent":null}\n'
)
DANTE = (
    "Nov 29 22:07:57 (1795990077.697290) danted[7214]: info: pass(1): tcp/connect ]: 365536 -> username%al@ice@"
    "192.0.2.7.56656 192.0.2.1.1080 -> 2, 2 -> 192.0.2.1.57313 {target} -> 400000: local client error (Broken pipe).  "
    "Session duration: 3s\n"
)
PROXY3 = "1795990077.697 PROXY.3128 00000 alice 192.0.2.7:56656 198.51.100.1:80 184 5338 0 GET_http://shop.example/_HTTP/1.1\n"


def parse(preset: str, line: str) -> Request | LineError | Ignored:
    return MappedFormat(PRESETS[preset]).parse(line.encode())


def request(**changes: Any) -> Request:
    given: dict[str, Any] = {
        "end_ms": 1795990073000,
        "duration_ms": 1500,
        "login": "alice",
        "domain": "shop.example",
        "error": "",
        "bytes_sent": 184,
        "bytes_received": 5338,
        "method": "",
        "status": 0,
        "client": "192.0.2.7",
    }
    return Request(**given | changes)


def test_haproxy() -> None:
    assert parse("haproxy", HAPROXY) == request(login='al "ice', method="GET", status=200)
    denied = HAPROXY.replace('"status":200,"state":"--"', '"status":407,"state":"PR"')
    assert parse("haproxy", denied) == request(login='al "ice', method="GET", status=407, is_failed_sign_in=True)
    refused = parse("haproxy", HAPROXY.replace('"status":200,"state":"--"', '"status":403,"state":"PR"'))
    nothing = {"bytes_sent": 0, "bytes_received": 0, "error": "denied/403", "is_refused": True}
    assert refused == request(login='al "ice', method="GET", status=403, **nothing)
    for status in ("401", "403"):
        from_origin = parse("haproxy", HAPROXY.replace('"status":200', f'"status":{status}'))
        assert isinstance(from_origin, Request)
        assert not from_origin.is_failed_sign_in
        assert from_origin.bytes_received == 5338


def test_envoy() -> None:
    expected = request(method="CONNECT", status=200, client="2001:db8::1")
    assert parse("envoy", ENVOY) == expected._replace(end_ms=1795990073000)


@pytest.mark.parametrize("status", ["401", "403", "407", '"403"'])
@pytest.mark.parametrize(
    ("details", "is_failed"),
    [
        ("ext_authz_denied", True),
        ("rbac_access_denied_matched_policy[none]", True),
        ("via_upstream", False),
        (None, False),
    ],
)
def test_envoy_refuses_a_sign_in_itself(status: str, details: str | None, is_failed: bool) -> None:
    line = ENVOY.replace('"response_code":200', f'"response_code":{status}')
    if details:
        line = line.replace('"user_agent":null', f'"response_code_details":"{details}"')
    found = parse("envoy", line)
    assert isinstance(found, Request)
    assert found.is_failed_sign_in == is_failed
    agent = line.replace('"user_agent":null', '"user_agent":"\\"response_code_details\\":\\"x\\""')
    forged = parse("envoy", agent)
    assert isinstance(forged, Request)
    assert forged.is_failed_sign_in == is_failed


def test_dante_counts_a_connection_once() -> None:
    expected = request(
        end_ms=1795990077697, duration_ms=3000, login="al@ice", bytes_sent=2, bytes_received=365536, domain="192.0.2.9"
    )
    line = DANTE.format(target="192.0.2.9.443")
    assert parse("dante", line) == expected
    assert parse("dante", DANTE.format(target="shop.example.443")) == expected._replace(domain="shop.example")
    assert parse("dante", DANTE.format(target="2001:DB8::9.443")) == expected._replace(domain="2001:db8::9")
    assert parse("dante", line.replace("username%", "pam.username%")) == expected
    assert parse("dante", line.replace("username%al@ice@", "")) == expected._replace(login="")
    for ending in ("info: sigterm(): exiting on signal 15", "alert: mother[1/1]: shutting down"):
        assert parse("dante", f"Nov 30 12:57:34 (1796043454.791831) danted[8966]: {ending}\n") == Ignored()
    for other in (line.replace("tcp/connect ]", "tcp/accept ]"), line.replace("tcp/connect ]", "tcp/connect [")):
        assert parse("dante", other) == Ignored()
    assert (
        parse("dante", "Nov 29 22:07:57 (1795990077.69) danted[7]: warning: no more descriptors\n") == LineError.FORMAT
    )


def test_3proxy() -> None:
    assert parse("3proxy", PROXY3) == request(end_ms=1795990077697, duration_ms=0)
    assert parse("3proxy", f"<30>1 2026-11-29T22:07:57Z gw 3proxy 7 - - \ufeff{PROXY3}") == parse("3proxy", PROXY3)
    nothing_asked = PROXY3.replace("GET_http://shop.example/_HTTP/1.1", "")
    assert parse("3proxy", nothing_asked) == request(end_ms=1795990077697, duration_ms=0, domain="")
    assert parse("3proxy", f"1{PROXY3}") != parse("3proxy", PROXY3)
    for prefix in ("", "<30>Nov 29 22:07:57 gw 3proxy[7]: ", "<30>1 2026-11-29T22:07:57Z gw 3proxy 7 - - \ufeff"):
        failed = parse("3proxy", prefix + PROXY3.replace("00000", "00006"))
        assert isinstance(failed, Request)
        assert (failed.error, failed.is_failed_sign_in) == ("00006", True)


COMBINED = MappedFormat(
    MappingConfig(
        format="regex",
        pattern=r'(?P<client>\S+) \S+ (?P<login>.+?) \[(?P<time>[^]]+)\] "(?P<method>\S+) (?P<target>\S+) [^"]*" '
        r"(?P<status>\d+) (?P<received>\d+|-)",
        time_format="clf",
    )
)


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ("29/Nov/2026:22:07:53 +0000", 1795990073000),
        ("29/Nov/2026:23:07:53 +0100", 1795990073000),
        ("29/Nov/2026:17:07:53 -0500", 1795990073000),
        ("31/Dec/2026:23:59:60 +0000", 1798761599000),
        ("29/Nov/2026:22:07:53", LineError.NUMBER),
        ("29/Nov/2026:22:07:61 +0000", LineError.NUMBER),
        ("31/Nov/2026:22:07:53 +0000", LineError.NUMBER),
        ("29/11/2026:22:07:53 +0000", LineError.NUMBER),
    ],
)
@pytest.mark.parametrize(("size", "received"), [("5338", 5338), ("-", 0)])
def test_the_combined_log_format(written: str, parsed: Any, size: str, received: int) -> None:
    """As Squid, Apache and nginx write it."""
    line = f'192.0.2.7 - alice [{written}] "CONNECT shop.example:443 HTTP/1.1" 200 {size} "-" "curl/8" TCP_TUNNEL:X\n'
    found = COMBINED.parse(line.encode())
    if isinstance(found, Request):
        expected = request(duration_ms=0, bytes_sent=0, bytes_received=received, method="CONNECT", status=200)
        assert found == expected._replace(end_ms=parsed)
        found = found.end_ms  # type: ignore[assignment]
    assert found == parsed


CADDY = MappedFormat(
    MappingConfig(
        fields={"time": "ts", "login": "user_id", "target": "host", "received": "size", "duration": "duration"},
        time_is="start",
        duration_unit="s",
    )
)


@pytest.mark.parametrize(
    ("duration", "read"),
    [("1.5", 1500), ('"1.5"', 1500), ("2", 2000), ("0.0004", 0), ("-1", 0), ("null", 0), ('"-"', 0), ("1e300", 0)],
)
def test_a_duration_may_have_a_fraction(duration: str, read: int) -> None:
    line = f'{{"ts":1795990071.5,"user_id":"alice","host":"shop.example","size":5338,"duration":{duration}}}\n'
    expected = request(end_ms=1795990071500 + read, duration_ms=read, bytes_sent=0, client="")
    assert CADDY.parse(line.encode()) == expected


@pytest.mark.parametrize(
    ("target", "domain"),
    [
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("192.0.2.9:80", "192.0.2.9"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("\\ud800.example", ""),
    ],
)
def test_the_domain_of_a_target_is_sent_as_it_is_meant(target: str, domain: str) -> None:
    line = f'{{"ts":1795990071,"user_id":"alice","host":"{target}","size":5338}}\n'
    found = CADDY.parse(line.encode())
    assert isinstance(found, Request)
    assert found.domain == domain
    assert to_body(aggregate([found], "gateway"))


@pytest.mark.parametrize(
    "line",
    [
        '{"ts":1' + "0" * 400 + ',"user_id":"a","size":5}',
        '{"ts":253402300799,"user_id":"a","size":5,"duration":9}',
        '{"ts":253402300799.9999,"user_id":"a","size":5}',
    ],
)
def test_a_time_beyond_all_calendars_is_an_error_of_the_line(line: str) -> None:
    assert CADDY.parse(line.encode() + b"\n") == LineError.NUMBER


@pytest.mark.parametrize(
    ("written", "login"),
    [
        (r"al\x22ice", 'al"ice'),
        (r"CORP\x5Calice", r"CORP\alice"),
        (r"m\xC3\xBCller", "müller"),
        (r"m\xFCller", "müller"),
        ("al\tice", "al\tice"),
    ],
)
def test_bytes_escaped_as_nginx_does_are_read(written: str, login: str) -> None:
    found = CADDY.parse(f'{{"ts":1795990071,"user_id":"{written}","host":"shop.example","size":5338}}\n'.encode())
    assert isinstance(found, Request)
    assert (found.login, found.bytes_received) == (login, 5338)


@pytest.mark.parametrize(
    ("start", "end_ms"),
    [
        ("2026-12-31T23:59:60Z", 1798761600500),
        ("2026-12-31T23:59:60.500+00:00", 1798761601000),
        ("2027-01-01T00:00:00", 1798761601500),
    ],
)
def test_a_leap_second_does_not_cost_the_line(start: str, end_ms: int) -> None:
    found = parse("envoy", ENVOY.replace("2026-11-29T22:07:51.500Z", start))
    assert isinstance(found, Request)
    assert found.end_ms == end_ms


@pytest.mark.parametrize("cut", ['{"ts":17959', ""])
def test_zeros_where_a_crash_cut_a_line_off_do_not_cost_the_next(cut: str) -> None:
    whole = '{"ts":1795990071,"user_id":"alice","host":"shop.example","size":5338}'
    found = CADDY.parse(f"{cut}\0\0\0{whole}\n".encode())
    assert found == CADDY.parse(whole.encode() + b"\n")
    assert isinstance(found, Request)


JSON = MappedFormat(
    MappingConfig(fields={"time": "t", "login": "user.name", "received": "out", "sent": "in"}, time_format="epoch_ms")
)


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ('{"t":1795990077697,"user":{"name":"a"},"out":5,"in":2}', ("a", 5, 2, 1795990077697)),
        ('{"t":"1795990077697","user":{"name":"a"},"out":"5","in":2.0}', ("a", 5, 2, 1795990077697)),
        ('{"t":1795990077697,"user":{"name":null},"out":5,"in":2}', ("", 5, 2, 1795990077697)),
        ('{"t":1795990077697,"user":{},"out":5,"in":2}', ("", 5, 2, 1795990077697)),
        ('{"t":1795990077697,"user":{"name":7},"out":5,"in":2}', ("7", 5, 2, 1795990077697)),
        ('{"t":1795990077697,"user":{"name":"a"},"in":2}', LineError.NUMBER),
        ('{"t":1795990077697,"user":{"name":"a"},"out":5}', LineError.NUMBER),
        ('{"t":1795990077697,"user":{"name":"a"},"out":true,"in":2}', LineError.NUMBER),
        ('{"t":1795990077697,"user":{"name":"a"},"out":-5,"in":2}', LineError.NUMBER),
        ('{"t":1795990077697,"user":{"name":"a"},"out":5.5,"in":2}', LineError.NUMBER),
        ('{"t":null,"user":{"name":"a"},"out":5,"in":2}', LineError.NUMBER),
        ('{"t":NaN,"user":{"name":"a"},"out":5,"in":2}', LineError.NUMBER),
        ('{"t":1795990077697,"user":', LineError.FORMAT),
        ("not json", LineError.FORMAT),
        ("{}", LineError.NUMBER),
        ("[1]", LineError.FORMAT),
        ("{" + "[" * 100_000, LineError.FORMAT),
        ("", LineError.EMPTY),
    ],
)
def test_json_by_paths(line: str, parsed: Any) -> None:
    found = JSON.parse(line.encode() + b"\n")
    if isinstance(found, Request):
        found = (found.login, found.bytes_received, found.bytes_sent, found.end_ms)  # type: ignore[assignment]
    assert found == parsed


@pytest.mark.parametrize("preset", PRESETS)
@given(line=st.binary() | st.text().map(str.encode))
def test_no_line_raises(preset: str, line: bytes) -> None:
    assert isinstance(MappedFormat(PRESETS[preset]).parse(line + b"\n"), Request | LineError | Ignored)


@given(
    st.dictionaries(st.sampled_from(["t", "user", "out", "in"]), st.none() | st.booleans() | st.floats() | st.text())
)
def test_no_json_value_raises(values: dict[str, Any]) -> None:
    assert isinstance(JSON.parse(json.dumps(values).encode() + b"\n"), Request | LineError)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (MappingConfig(), "must have the field 'time'"),
        (MappingConfig(fields={"time": "t", "login": "l"}), "must have the field 'received'"),
        (MappingConfig(fields={"time": "t", "login": "l", "received": "r", "usr": "u"}), "knows no field 'usr'"),
        (MappingConfig(format="regex", pattern="(?P<time>"), "regular expression"),
        (MappingConfig(format="regex", pattern="x"), "must have the field 'time'"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(config: MappingConfig, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        MappedFormat(config)
