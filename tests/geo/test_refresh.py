"""Loaders that work, fail and return nonsense; the last good counts stay."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils import timezone

from geo import refresh, services
from geo.loaders import provider
from geo.models import CountSnapshot
from tests.geo.helpers import loaded, public_counts

GOOD = json.dumps({"counts": {"default": {"US": 7, "DE": 3}, "other": {}}}).encode()
NEWER = GOOD.replace(b"7", b"9")
Answer = Callable[[BaseHTTPRequestHandler], None]


class CountsServer(ThreadingHTTPServer):
    """Answers with its ``answer``."""

    daemon_threads = True
    answer: Answer
    asked = 0
    authorization: str | None = None


class CountsHandler(BaseHTTPRequestHandler):
    server: CountsServer

    def do_GET(self) -> None:
        self.server.asked += 1
        self.server.authorization = self.headers["Authorization"]
        with suppress(OSError):  # hung up on
            self.server.answer(self)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def says(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


# Those below end with an acceptable answer, but after longer than a caller may wait.
DROPS = 1000
DROP_SECONDS = 0.05


def hangs(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.settimeout(DROPS * DROP_SECONDS)
    with suppress(TimeoutError):
        handler.rfile.read(1)  # until the caller hangs up
    says(NEWER)(handler)


def drip(handler: BaseHTTPRequestHandler, drop: bytes) -> None:
    for _ in range(DROPS):
        handler.wfile.write(drop)
        time.sleep(DROP_SECONDS)


def drips(handler: BaseHTTPRequestHandler) -> None:
    says(b"")(handler)
    drip(handler, b" ")
    handler.wfile.write(NEWER)


def says_and_drips(handler: BaseHTTPRequestHandler) -> None:
    says(NEWER)(handler)
    drip(handler, b" ")


def drips_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Padding: ")
    drip(handler, b"x")
    handler.wfile.write(b"\r\n\r\n" + NEWER)


def breaks_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(GOOD)
    handler.close_connection = True


@pytest.fixture
def server(settings: Any, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountsServer]:
    monkeypatch.setattr(provider, "DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr(provider, "SOCKET_SECONDS", 0.4)
    monkeypatch.setattr(provider, "FIRST_PAUSE", 0.05)
    server = CountsServer(("127.0.0.1", 0), CountsHandler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    settings.GEO_MOBILE_URL = f"http://127.0.0.1:{server.server_port}/counts?v=1"
    settings.GEO_PROVIDER_TOKEN = "a secret"
    server.answer = says(GOOD)
    loaded()
    yield server
    server.shutdown()
    server.server_close()


def mobile() -> CountSnapshot:
    return CountSnapshot.objects.get(proxy_type="mobile-giga")


def test_the_counts_of_a_provider_are_loaded(server: CountsServer) -> None:
    assert mobile().counts == {"default": {"provider-api": {"US": 7, "DE": 3}}, "other": {"provider-api": {}}}
    assert server.authorization == "Bearer a secret"
    assert not any(state.is_stale for state in services.loader_states(timezone.now()))


def test_counts_under_two_codes_of_one_country_are_added_up(server: CountsServer) -> None:
    server.answer = says(b'{"counts": {"default": {"UK": 5, "GB": 2, "XK": 1}}}')
    loaded(timezone.now() + timedelta(minutes=10))
    assert mobile().counts == {"default": {"provider-api": {"GB": 7, "XK": 1}}}


FAILURES = {
    "an error": says(b"", 500),
    "a refusal": says(b"", 403),
    "a redirect": says(b"", 302, Location="/elsewhere"),
    "silence": hangs,
    "drops": drips,
    "drops of a header": drips_headers,
    "half an answer": breaks_off,
    "no JSON": says(b"<html>"),
    "a list": says(b"[]"),
    "no counts": says(b"{}"),
    "text for a number": says(b'{"counts": {"default": {"US": "7"}}}'),
    "a fraction": says(b'{"counts": {"default": {"US": 7.5}}}'),
    "a truth value": says(b'{"counts": {"default": {"US": true}}}'),
    "less than nothing": says(b'{"counts": {"default": {"US": -1}}}'),
    "more than exact": says(b'{"counts": {"default": {"US": 9007199254740993}}}'),
    "an unknown country": says(b'{"counts": {"default": {"ZZ": 1}}}'),
    "a country's name": says(b'{"counts": {"default": {"Germany": 1}}}'),
    "a pool with a line end": says(b'{"counts": {"default\\n": {"US": 1}}}'),
    "a strange pool": says(b'{"counts": {"<b>": {"US": 1}}}'),
    "junk": says(b"x" * 10_000_000),
    "drops behind an answer": says_and_drips,
    "depth": says(b"[" * 500_000),
    "bytes that are no text": says(b'{"counts": {"default": {"\xff\xff": 1}}}'),
}


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_a_failing_or_implausible_provider_leaves_the_last_good_counts(server: CountsServer, answer: Answer) -> None:
    before = mobile()
    server.answer = answer
    loaded(later := timezone.now() + timedelta(minutes=10))
    after = mobile()
    assert (after.counts, after.loaded_at, after.failed_at) == (before.counts, before.loaded_at, later)
    assert after.last_error
    assert "secret" not in after.last_error
    assert [state.proxy_type for state in services.loader_states(later) if state.is_stale] == ["mobile-giga"]


def test_a_provider_that_recovers_is_fresh_again(server: CountsServer) -> None:
    server.answer = says(b"", 500)
    loaded()
    assert server.asked == 1 + provider.ATTEMPTS
    server.answer = says(GOOD.replace(b"7", b"8"))
    loaded()
    assert (mobile().failed_at, mobile().last_error) == (None, "")
    assert services.raw_counts(timezone.now())["mobile-giga"]["default"]["provider-api"]["US"] == 8


def test_counts_not_refreshed_for_half_an_hour_are_stale(db: None) -> None:
    loaded(now := timezone.now())
    assert not any(state.is_stale for state in services.loader_states(now + timedelta(minutes=30)))
    assert all(state.is_stale for state in services.loader_states(now + timedelta(minutes=31)))


def test_a_failing_loader_delays_no_other(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider.DummyProvider, "counts", lambda self: 1 / 0)
    loaded()
    states = {state.proxy_type: state.is_stale for state in services.loader_states(timezone.now())}
    assert states == {
        "residential-giga": True, "server-static": False, "private-proxy": False, "shared-proxy": False
    }  # fmt: skip


def test_a_type_whose_provider_was_removed_has_no_counts(server: CountsServer, settings: Any) -> None:
    assert "mobile-giga" in public_counts()
    settings.GEO_MOBILE_URL = None
    loaded()
    assert "mobile-giga" not in public_counts()


def test_invented_counts_are_served_only_while_the_setting_enables_them(db: None, settings: Any) -> None:
    loaded()
    assert "residential-giga" in public_counts()
    settings.GEO_DUMMY = False
    loaded()
    assert "residential-giga" not in public_counts()


def test_a_provider_url_takes_precedence_over_invented_counts(server: CountsServer, settings: Any) -> None:
    settings.GEO_RESIDENTIAL_URL = settings.GEO_MOBILE_URL
    loaded()
    assert public_counts()["residential-giga"] == public_counts()["mobile-giga"]


def test_of_several_concurrent_refreshes_one_calls_the_provider(server: CountsServer) -> None:
    asked = server.asked
    now = timezone.now() + timedelta(minutes=10)
    for _ in range(3):
        refresh.refresh(now)
    assert server.asked == asked + 1
    CountSnapshot.objects.filter(proxy_type="mobile-giga").update(
        claimed_until=now + refresh.CLAIM, loaded_at=now - timedelta(hours=1)
    )
    refresh.refresh(now)
    assert server.asked == asked + 1
    refresh.refresh(now + refresh.CLAIM)
    assert server.asked == asked + 2


def test_staleness_is_a_metric(server: CountsServer, client_for: Any, staff: Any, make_key: Any) -> None:
    server.answer = says(b"", 500)
    loaded()
    answer = client_for(staff, "metrics").get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    lines = answer.content.decode().splitlines()
    assert 'fonproxy_geo_loader_stale{proxy_type="mobile-giga"} 1.0' in lines
    assert 'fonproxy_geo_loader_stale{proxy_type="residential-giga"} 0.0' in lines
    assert any(line.startswith('fonproxy_geo_counts_age_seconds{proxy_type="mobile-giga"} ') for line in lines)
