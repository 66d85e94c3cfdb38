"""Every decoder of outside input, against text that was made to break it (``make fuzz``).

Whatever it is given, a decoder returns a result or raises one of its own errors. Half of the examples are drawn from
the grammar of the input; half are valid inputs with pieces cut out, duplicated, swapped or overwritten.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from django.http import QueryDict
from fonproxy_agent.mapping import PRESETS, MappedFormat
from fonproxy_agent.request import Ignored, LineError, Request
from fonproxy_agent.rows import aggregate, one_by_one, to_body
from fonproxy_agent.squid import lines
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rest_framework.exceptions import APIException

from accounts import applications
from accounts.models import User
from analytics.apinalytics import ingest_columns as events
from analytics.apinalytics.masking import masked
from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.byteful.log.views import KINDS
from analytics.gateway import gost, radius, samples
from analytics.traffic import history
from analytics.traffic.ingest_columns import history_to_inbox, pushed_rows
from fonproxy import hostnames, timerange, webhooks
from fonproxy.api import cursors, search
from geo import static_ip_csv
from orders.gateway.radius import Attributes
from orders.models import Order, ProxyUser
from tests.analytics.helpers import body_of, documented_row

# Processor time for each decoder.
SECONDS: Final = float(os.environ.get("FUZZ_SECONDS", "600"))
ROUND: Final = 300
NOW: Final = datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC)

pytestmark = [pytest.mark.fuzz, pytest.mark.django_db]

REFUSALS: Final = (APIException, history.BadFile, static_ip_csv.NotCsv, timerange.InvalidTime, webhooks.BadUrl)


def fuzz(inputs: st.SearchStrategy[Any], decode: Callable[[Any], object]) -> None:
    """Decodes for this long; each round draws with another seed, the same in each run."""
    spent, tried = time.process_time(), 0
    for number in itertools.count():
        if time.process_time() - spent >= SECONDS:
            break

        @seed(number)
        @settings(
            max_examples=ROUND,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def try_one(given: Any) -> None:
            with suppress(*REFUSALS):
                decode(given)

        try_one()
        tried += ROUND
    sys.stderr.write(f" {tried:,} inputs in {time.process_time() - spent:.0f} s of processor time ")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**32, 2**44, 2**53, 2**63, 2**64, 10**30, 1.5, 1e308, float("nan"), float("inf")])
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "0", "2026-11-20", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00", "\0", "\ud800", "xn--"]
    )
    | st.sampled_from(["a" * 300, "::1%eth0", "=1+1", "🦊", "İ.example", "ß", "Start", "Stop"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def changed(good: bytes) -> st.SearchStrategy[bytes]:
    """The input with a few pieces cut out, duplicated, swapped or overwritten."""

    def apply(edits: list[tuple[int, int, int, bytes]]) -> bytes:
        text = bytearray(good)
        for at, length, kind, new in edits:
            start = at % (len(text) + 1)
            piece = bytes(text[start : start + length])
            text[start : start + length] = (b"", piece * 2, new, piece[::-1])[kind]
        return bytes(text)

    edit = st.tuples(
        st.integers(0, max(len(good), 1)),
        st.integers(0, 12),
        st.integers(0, 3),
        st.binary(max_size=8) | st.sampled_from([b"\0", b'"', b"{", b"[" * 500, b"\xff", b"-", b"1e999", b"\\ud800"]),
    )
    return st.lists(edit, min_size=1, max_size=4).map(apply)


def bodies(row: dict[str, Any], wrap: Callable[[list[Any]], Any]) -> st.SearchStrategy[bytes]:
    """JSON bodies of rows in which some fields have other values."""
    rows = st.lists(
        st.dictionaries(st.sampled_from(sorted(row)), values, max_size=4).map(lambda new: {**row, **new}), max_size=3
    )
    made = rows.map(lambda rows: json.dumps(wrap(rows)).encode("utf-8", "surrogatepass"))
    odd = values.map(lambda value: json.dumps(wrap([value])).encode("utf-8", "surrogatepass"))
    return made | odd | changed(json.dumps(wrap([row, row])).encode()) | st.binary()


@pytest.fixture
def login(alice: User, make_order: Callable[..., Order]) -> ProxyUser:
    return ProxyUser.objects.create(login="login", order=make_order(alice))


def traffic_row(login: ProxyUser) -> dict[str, Any]:
    return documented_row(ts="2026-11-20 12:00:00", user_id=login.order.user_id, order_id=login.order_id)


def test_traffic(login: ProxyUser) -> None:
    row = {**traffic_row(login), "country": "de", "proxy_user": "login"}
    fuzz(bodies(row, lambda rows: {"logs": rows}), lambda body: pushed_rows(body, NOW))


def test_history(login: ProxyUser) -> None:
    fuzz(bodies(traffic_row(login), lambda rows: {"logs": rows}), lambda body: history_to_inbox(body, NOW))


def test_history_files(login: ProxyUser, tmp_path: Path) -> None:
    file = tmp_path / "history"

    def read(text: bytes) -> None:
        file.write_bytes(text)
        history.check(file, NOW)

    good = body_of([traffic_row(login)]) + b"\n" + json.dumps(traffic_row(login)).encode() + b"\n"
    fuzz(changed(good) | st.binary(), read)


def test_single_requests(login: ProxyUser) -> None:
    row = {
        "log_request_datetime": "2026-11-20 12:00:00",
        "proxy_user_id": login.login,
        "log_hostname": "a.example",
        "log_method": "GET",
        "log_protocol": "http",
        "log_status_code": 200,
        "log_bytes_sent": 1,
        "log_bytes_received": 2,
        "log_total_elapsed_ms": 3,
        "log_concurrency": 1,
        "log_authentication_type": 1,
        "log_client_ip_address": "192.0.2.1",
        "log_egress_ip_address": "198.51.100.1",
        "log_local_port": 80,
        "log_session_id": "s",
        "log_error": "",
        "country_id": "de",
        "city_alias": "",
        "asn_id": 1,
    }
    fuzz(bodies(row, lambda rows: {"logs": rows}), lambda body: to_request_inbox(body, NOW))


def test_events(alice: User) -> None:
    application, _ = applications.create(alice, "API", NOW)
    row = {
        "timestamp": int(NOW.timestamp()),
        "consumer_id": "c",
        "method": "GET",
        "url": "https://user:password@a.example/x?token=1",
        "function": None,
        "response_us": 5,
        "status_code": 200,
    }
    fuzz(bodies(row, list), lambda body: events.to_columns(body, application, NOW))


def test_samples() -> None:
    row = {
        "session": "s",
        "login": "login",
        "worker": "w",
        "startedAt": "2026-11-20T12:00:00Z",
        "ended": False,
        "bytesSent": 1,
        "bytesReceived": 2,
        "requests": 1,
        "domain": "a.example",
        "ipFrom": "192.0.2.1",
    }
    fuzz(bodies(row, lambda rows: {"samples": rows}), lambda body: samples.decode(body, NOW))


def test_gost() -> None:
    stats = {"totalConns": 1, "currentConns": 0, "inputBytes": 5, "outputBytes": 6, "totalErrs": 0}
    row = {"kind": "service", "service": "s", "type": "stats", "client": "login", "stats": stats, "status": None}
    fuzz(bodies(row, lambda rows: {"events": rows}), lambda body: gost.samples_of(body, "w"))


def test_radius() -> None:
    names = ["User-Name", "Acct-Session-Id", "Acct-Status-Type", "NAS-Identifier", "Calling-Station-Id"]
    names += ["Acct-Input-Octets", "Acct-Input-Gigawords", "Acct-Session-Time", "Acct-Delay-Time", "Event-Timestamp"]
    good = {"User-Name": "login", "Acct-Session-Id": "s", "Acct-Status-Type": "Stop"}
    value = values | scalars.map(lambda one: {"type": "string", "value": [one]})
    packets = st.dictionaries(st.sampled_from(names), value).map(lambda new: {**good, **new})

    def read(packet: Any) -> None:
        given = Attributes(packet)
        radius.worker_of(given)
        radius.is_of_whole_server(given)
        radius.sample_of(given, NOW)

    fuzz(packets | values, read)


SQUID: Final = (
    b"1795220843.689      5 127.0.0.1 TCP_MISS/200 5338 GET http://shop.example/f5.bin alice"
    b" HIER_DIRECT/127.0.1.1 a/b 184\n"
)


def send(found: Request) -> None:
    """Builds the bodies that the shipper sends for a request."""
    assert to_body(aggregate([found], "gateway"))
    assert to_body(one_by_one([found]))


def test_squid_lines() -> None:
    def read(line: bytes) -> None:
        found = lines.parse(line)
        if isinstance(found, Request):
            send(found)
        else:
            assert isinstance(found, LineError)

    fuzz(changed(SQUID) | st.binary(), read)


def test_squid_fields_that_billing_does_not_need() -> None:
    """They lose no line: the login and its bytes are read whatever those fields hold."""
    cells = SQUID.decode("latin-1").split()
    word = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"), max_size=30)

    def read(new: tuple[str, str, str]) -> None:
        line = list(cells)
        client, peer, content_type = new
        line[2], line[8], line[9] = client or "-", f"HIER_DIRECT/{peer}", content_type or "-"
        found = lines.parse(" ".join(line).encode("latin-1") + b"\n")
        assert isinstance(found, Request), line
        assert (found.login, found.bytes_received, found.bytes_sent) == ("alice", 5338, 184)

    fuzz(st.tuples(word, word, word), read)


@pytest.mark.parametrize(
    ("preset", "good"),
    [
        (
            "haproxy",
            b'<134>x haproxy[1]: {"time":1795990071.500,"duration":1500,"login":"alice","target":"a.example:80",'
            b'"sent":1,"received":2,"method":"GET","status":200,"state":"--","client":"192.0.2.7"}\n',
        ),
        (
            "envoy",
            b'{"start_time":"2026-11-29T22:07:51.5Z","duration":1,"authority":"a:443","login":"a","bytes_received":1,'
            b'"bytes_sent":2,"response_code":200,"downstream_remote_address":"[2001:db8::1]:40000"}\n',
        ),
        (
            "dante",
            b"(1795990077.697290) danted[7]: info: pass(1): tcp/connect ]: 3 -> username%al@192.0.2.7.5 192.0.2.1.1080"
            b" -> 2, 2 -> 192.0.2.1.57313 2001:db8::9.443 -> 4: local client closed.  Session duration: 3s\n",
        ),
        ("3proxy", b"1795990077.697 PROXY.3128 00000 alice 192.0.2.7:56656 198.51.100.1:80 184 5338 0 GET_http://a/\n"),
    ],
)
def test_mapped_lines(preset: str, good: bytes) -> None:
    form = MappedFormat(PRESETS[preset])
    assert isinstance(form.parse(good), Request)  # otherwise the changed ones would test little

    def read(line: bytes) -> None:
        found = form.parse(line)
        if isinstance(found, Request):
            send(found)
        else:
            assert isinstance(found, LineError | Ignored)

    fuzz(changed(good) | st.binary(), read)


def test_static_ip_csv() -> None:
    header = "address,proxy_type,pool,geoip_country,maxmind_country,available\r\n"
    good = f'\ufeff{header}198.51.100.7,server-static,,DE,,true\r\n"2001:db8::1",private-proxy,a,UK,XX,no\r\n'.encode()

    def read(text: bytes) -> None:
        static_ip_csv.import_csv(iter(text.decode("utf-8", "replace").splitlines(keepends=True)), NOW)

    fuzz(changed(good) | st.text().map(lambda text: (header + text).encode()), read)


def test_search_values() -> None:
    names = [prefix + name for prefix in ("", "min_", "max_", "like_", "not_", "exists_") for name in KINDS]
    names += ["sort_by", "page", "per_page"]
    queries = st.dictionaries(st.sampled_from(names), scalars.map(str) | st.text() | st.sampled_from(names), max_size=4)

    def read(given: dict[str, str]) -> None:
        query = QueryDict(mutable=True)
        query.update(given)
        search.parse(query, KINDS)

    fuzz(queries, read)


def test_times_and_zones() -> None:
    texts = changed(b"2026-11-20T12:00:00.123456+02:00").map(lambda text: text.decode("latin-1")) | scalars.map(str)

    def read(given: tuple[str, str]) -> None:
        text, name = given
        with suppress(timerange.InvalidTime):
            timerange.parse_zone(name)
        timerange.parse_instant(text)

    fuzz(st.tuples(texts, st.text() | st.sampled_from(["Europe/Berlin", "../../etc/passwd", "posixrules"])), read)


def test_addresses_hosts_and_cursors() -> None:
    url = changed(b"https://user:pa@ss@shop.example:8443/a?token=x&q=%61%20#f").map(lambda text: text.decode("latin-1"))

    def read(text: str) -> None:
        host = hostnames.normalized(text)
        assert hostnames.normalized(host) == host
        masked(text, ("token", "password"))
        with suppress(webhooks.BadUrl):
            webhooks.check_url(text)
        cursors.decode(text, "list", [])

    fuzz(url | st.text(), read)


def test_the_good_line_is_read() -> None:
    """Otherwise the changed lines would test nothing."""
    assert isinstance(lines.parse(SQUID), Request)
