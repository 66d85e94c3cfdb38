"""A real Squid with a real FonProxy: who is allowed, when running connections end, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from fonproxy_agent.check import problem_of_ending
from fonproxy_agent.logins import LoginStore

from fonproxy.units import MIB
from tests.gateway.wired import LONG_SECONDS, Accounts, Moved, Provider, Tunnel, WiredGateway, origin, wired
from tests.waiting import wait_for

pytestmark = pytest.mark.gateway


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Provider, WiredGateway]]:
    with wired() as both:
        yield both


@pytest.fixture
def provider(both: tuple[Provider, WiredGateway]) -> Provider:
    return both[0]


@pytest.fixture
def proxy(both: tuple[Provider, WiredGateway]) -> WiredGateway:
    return both[1]


@pytest.fixture
def target() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture
def sell(provider: Provider, proxy: WiredGateway) -> Callable[..., None]:
    """``provider.sell``, then a wait for the copy of logins that decides when FonProxy answers too late."""

    def sell(login: str, **settings: Any) -> None:
        provider.sell(login, **settings)
        wait_until_copied(proxy, [login])

    return sell


@pytest.fixture
def ask(proxy: WiredGateway, target: int) -> Callable[..., str]:
    """Sends a request with a login; returns its status, with the reason of a refusal."""

    def ask(login: str, *password: str) -> str:
        status, reason, _ = proxy.get(f"http://localhost:{target}/100", login, *password)
        return f"{status} {reason}".strip()

    return ask


def test_a_password_passes_until_it_is_changed(sell: Callable[..., None], ask: Callable[..., str]) -> None:
    sell("changing")
    assert ask("changing") == "200"
    assert ask("changing", "wrong-horse-1") == "407"
    assert ask("nobody") == "407"
    sell("changing", password="another-horse-1")
    wait_for(lambda: ask("changing", "another-horse-1") == "200", LONG_SECONDS)
    wait_for(lambda: ask("changing") == "407", LONG_SECONDS)


def test_an_address_that_is_not_allowed_is_refused(sell: Callable[..., None], ask: Callable[..., str]) -> None:
    sell("elsewhere", allowedIps=["192.0.2.0/24"])
    assert ask("elsewhere") == "403 ip_not_allowed"
    assert ask("elsewhere", "wrong-horse-1") == "407"
    sell("elsewhere", allowedIps=["192.0.2.0/24", "127.0.0.1"])
    wait_for(lambda: ask("elsewhere") == "200", LONG_SECONDS)


def test_a_connection_beyond_the_limit_is_refused_until_one_ends(
    sell: Callable[..., None], proxy: WiredGateway, target: int, ask: Callable[..., str]
) -> None:
    sell("single", maxConnections=1)
    tunnel = proxy.tunnel(target, "single")
    tunnel.transfer(1000)
    wait_for(lambda: ask("single") == "403 too_many_connections", LONG_SECONDS)
    tunnel.transfer(1000)
    tunnel.close()
    wait_for(lambda: ask("single") == "200", LONG_SECONDS)


def test_a_suspended_order_is_refused_with_the_reason_and_its_connections_end(
    provider: Provider, sell: Callable[..., None], proxy: WiredGateway, target: int, ask: Callable[..., str]
) -> None:
    assert problem_of_ending() == ""
    for login in ("suspended", "bystander"):
        sell(login)
    tunnels = {login: proxy.tunnel(target, login) for login in ("suspended", "bystander")}
    provider.act("suspended", "suspend")
    tunnels["suspended"].read_until_ended()
    tunnels["suspended"].close()
    wait_for(lambda: ask("suspended") == "403 suspended", LONG_SECONDS)
    tunnels["bystander"].transfer(1000)
    tunnels["bystander"].close()
    provider.act("suspended", "resume")
    wait_for(lambda: ask("suspended") == "200", LONG_SECONDS)


def test_a_login_at_its_daily_limit_is_refused_and_no_other_of_its_order(
    sell: Callable[..., None], proxy: WiredGateway, target: int, ask: Callable[..., str]
) -> None:
    sell("limited", limits={"dayBytes": MIB})
    sell("unlimited")
    tunnel = proxy.tunnel(target, "limited")
    tunnel.transfer(2 * MIB)
    wait_for(lambda: ask("limited") == "403 exhausted", LONG_SECONDS)
    assert ask("unlimited") == "200"
    tunnel.close()
    sell("limited", limits={"dayBytes": 10 * MIB})
    wait_for(lambda: ask("limited") == "200", LONG_SECONDS)


def test_password_guesses_of_a_stranger_cost_the_customer_nothing(
    provider: Provider, sell: Callable[..., None], proxy: WiredGateway, target: int
) -> None:
    sell("guessed")
    accounts = Accounts()
    for password in ("wrong-horse-1", "wrong-horse-2", "wrong-horse-3"):
        assert proxy.get(f"http://localhost:{target}/9000", "guessed", password)[0] == 407
    status, _, moved = proxy.get(f"http://localhost:{target}/9000", "guessed")
    assert status == 200
    accounts.add("guessed", moved)
    wait_for(lambda: provider.usage().get("guessed") == moved, LONG_SECONDS)


KILLS = pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.torture)])


@KILLS
def test_usage_equals_the_clients_bytes_whichever_process_is_killed(
    provider: Provider, sell: Callable[..., None], proxy: WiredGateway, target: int, kills: int
) -> None:
    """The agent is killed, FonProxy twice; Squid is restarted, its log rotated twice; all while tunnels run."""
    usage = SquidTotals(proxy, target, kills)
    for login in usage.logins:
        sell(login)
    for number in range(kills):
        usage.grow()
        usage.kill_a_part_of_the_agent()
        if number in (kills // 4, kills // 2):
            wait_until_copied(proxy, usage.logins)
            provider.server.kill()
            for _ in range(3):  # known logins continue
                usage.grow()
                usage.kill_a_part_of_the_agent()
            provider.server.start()
            proxy.rotate_log(str(number))
        if number == 3 * kills // 4:
            proxy.stop("squid")
            usage.end_tunnels()
            proxy.start("squid")
    usage.end_tunnels()
    assert_counted(provider, usage.accounts)
    for _ in range(3):
        usage.kill_a_part_of_the_agent()
    usage.grow()
    usage.end_tunnels()
    assert_counted(provider, usage.accounts)


class SquidTotals:
    """Traffic of three logins, by tunnels that stay open and by single requests, at random."""

    def __init__(self, proxy: WiredGateway, target: int, seed: int) -> None:
        self.logins = [f"killed-{seed}-{number}" for number in range(3)]
        self.accounts = Accounts()
        self._proxy = proxy
        self._target = target
        self._random = Random(seed)
        self._tunnels: list[Tunnel] = []

    def grow(self) -> None:
        """Adds traffic: a request, another tunnel, and transfers through some of the tunnels."""
        login = self._random.choice(self.logins)
        size = self._random.randint(1, 100_000)
        status, _, moved = self._proxy.get(f"http://localhost:{self._target}/{size}", login)
        assert status == 200
        self.accounts.add(login, moved)
        self._tunnels.append(self._proxy.tunnel(self._target, login))
        assert self._tunnels[-1].status == 200
        for tunnel in self._random.sample(self._tunnels, min(3, len(self._tunnels))):
            tunnel.transfer(self._random.randint(1, 2 * MIB))
        if len(self._tunnels) > 5:
            self.accounts.close(self._tunnels.pop(self._random.randrange(5)))

    def kill_a_part_of_the_agent(self) -> None:
        time.sleep(self._random.uniform(0, 2.5))  # at any moment of the agent's rounds
        self._proxy.kill(self._random.choice(["watch", "ship", "enforce"]))

    def end_tunnels(self) -> None:
        for tunnel in self._tunnels:
            self.accounts.close(tunnel)
        self._tunnels.clear()


def copy_of_logins(proxy: WiredGateway) -> LoginStore:
    """The copy of logins that decides without FonProxy."""
    path = proxy.directory / "helpers/logins.sqlite3"
    wait_for(path.exists, LONG_SECONDS)  # created by Squid's user, who must be able to write to it
    return LoginStore(path)


def wait_until_copied(proxy: WiredGateway, logins: list[str]) -> None:
    store = copy_of_logins(proxy)
    wait_for(lambda: store.finished_at() and all(store.find(login) for login in logins), LONG_SECONDS)


def assert_counted(provider: Provider, accounts: Accounts) -> None:
    def difference() -> dict[str, tuple[Moved, Moved]]:
        usage = provider.usage()
        pairs = {login: (usage.get(login, Moved()), moved) for login, moved in accounts.moved.items()}
        return {login: pair for login, pair in pairs.items() if pair[0] != pair[1]}

    try:
        wait_for(lambda: not difference(), LONG_SECONDS)
    except AssertionError:
        assert difference() == {}


def test_while_fonproxy_is_unavailable_known_logins_pass_and_no_row_is_lost(
    provider: Provider, sell: Callable[..., None], proxy: WiredGateway, target: int, ask: Callable[..., str]
) -> None:
    for login in ("known", "stopped"):
        sell(login)
    provider.act("stopped", "suspend")
    store = copy_of_logins(proxy)
    wait_for(lambda: (found := store.find("stopped")) and found.refusal, LONG_SECONDS)
    provider.server.stop()
    try:
        status, _, moved = proxy.get(f"http://localhost:{target}/70000", "known")
        assert status == 200
        assert ask("known", "wrong-horse-1") == "407"
        assert ask("stopped") == "403 suspended"
        assert ask("stopped", "wrong-horse-1") == "407"
    finally:
        provider.server.start()
    wait_for(lambda: provider.usage().get("known") == moved, LONG_SECONDS)
