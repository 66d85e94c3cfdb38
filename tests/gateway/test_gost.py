"""gost's plugins, played by a client that follows their documentation, against a real FonProxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fonproxy.units import MIB
from tests.gateway.gost import GostClient
from tests.gateway.wired import PASSWORD, Moved, Provider
from tests.serving import serving
from tests.waiting import wait_for

pytestmark = pytest.mark.gateway


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving(FONPROXY_THROTTLE_READ="1000000/min") as server:
        yield Provider(server)


@pytest.fixture
def gost(provider: Provider) -> GostClient:
    return GostClient(provider.server.url, provider.key)


def test_only_an_active_login_with_the_right_password_signs_in(provider: Provider, gost: GostClient) -> None:
    provider.sell("gost")
    assert gost.sign_in("gost", PASSWORD) == "gost"
    assert gost.sign_in("gost", "wrong-horse-1") is None
    assert gost.sign_in("nobody", PASSWORD) is None
    provider.act("gost", "suspend")
    assert gost.sign_in("gost", PASSWORD) is None
    provider.act("gost", "resume")
    provider.sell("gost", password="another-horse-1", allowedIps=["127.0.0.1"])
    assert gost.sign_in("gost", PASSWORD) is None
    assert gost.sign_in("gost", "another-horse-1") == "gost"
    provider.sell("gost", password="another-horse-1", allowedIps=["192.0.2.1"])
    assert gost.sign_in("gost", "another-horse-1") is None


def test_gost_reports_are_counted_while_it_runs_after_a_restart_and_until_the_cut_off(
    provider: Provider, gost: GostClient
) -> None:
    provider.sell("small", limit=20 * MIB)
    for _ in range(2):
        gost.connect("small")
    gost.move("small", 500, 10 * MIB)
    for _ in range(2):  # a lost answer
        gost.observe()
    wait_for(lambda: provider.usage().get("small") == Moved(2, 500, 10 * MIB))
    assert gost.sign_in("small", PASSWORD) == "small"
    gost.disconnect("small")
    restarted = GostClient(provider.server.url, provider.key)
    restarted.connect("small")
    restarted.move("small", 70, 10 * MIB)
    restarted.observe()
    wait_for(lambda: provider.usage()["small"] == Moved(3, 570, 20 * MIB))
    wait_for(lambda: restarted.sign_in("small", PASSWORD) is None)
    provider.act("small", "top-ups", reference="more", bytes=MIB)
    wait_for(lambda: restarted.sign_in("small", PASSWORD) == "small")
