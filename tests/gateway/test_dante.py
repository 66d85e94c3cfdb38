"""A real Dante authenticates logins over PAM and RADIUS, and its log counts their traffic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.dante import Dante, dante
from tests.gateway.freeradius import freeradius
from tests.gateway.wired import LONG_SECONDS, PASSWORD, Moved, Provider, origin, shipping
from tests.serving import serving
from tests.waiting import wait_for

pytestmark = pytest.mark.gateway


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving(FONPROXY_THROTTLE_READ="1000000/min") as server:
        yield Provider(server)


@pytest.fixture(scope="module")
def proxy(provider: Provider) -> Iterator[Dante]:
    with freeradius(provider.server.url, provider.key) as radius, dante(radius) as proxy:
        yield proxy


@pytest.fixture
def target() -> Iterator[int]:
    with origin() as port:
        yield port


def test_only_an_active_login_with_the_right_password_signs_in(provider: Provider, proxy: Dante, target: int) -> None:
    def status(login: str, password: str = PASSWORD) -> int:
        return proxy.get(f"http://localhost:{target}/100", login, password)[0]

    provider.sell("socks")
    assert status("socks") == 200
    assert status("socks", "wrong-horse-1") == 0
    assert status("nobody") == 0
    provider.act("socks", "suspend")
    assert status("socks") == 0
    provider.act("socks", "resume")
    assert status("socks") == 200
    provider.sell("socks", password="another-horse-1")
    assert status("socks") == 0
    assert status("socks", "another-horse-1") == 200
    provider.sell("socks", password="another-horse-1", allowedIps=["192.0.2.0/24"])
    assert status("socks", "another-horse-1") == 0
    provider.sell("socks", password="another-horse-1", allowedIps=["127.0.0.1"])
    assert status("socks", "another-horse-1") == 200


def test_bytes_in_dantes_log_are_counted_for_the_login(provider: Provider, proxy: Dante, target: int) -> None:
    login = "so%ck@s 2"
    provider.sell("counted", login=login)
    moved = Moved()
    with shipping("dante", str(proxy.log), "--follow", "--url", provider.server.url, key=provider.key) as stop:
        for size in (70_000, 5):
            status, sent, received = proxy.get(f"http://localhost:{target}/{size}", login, PASSWORD)
            assert status == 200
            moved = moved.plus(Moved(1, sent, received))
        proxy.get(f"http://localhost:{target}/9000", login, "wrong-horse-1")
        wait_for(lambda: provider.usage().get(login) == moved, LONG_SECONDS)
        said = stop()
    assert "could not be read" not in said
