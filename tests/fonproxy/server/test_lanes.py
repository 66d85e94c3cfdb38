"""Which threads serve which routes, and which requests wait for them."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from fonproxy.server.callers import Caller
from fonproxy.server.lanes import PER_ADDRESS, RULES, WAITING_OF_CALLER, Lane, Lanes, Rules
from fonproxy.server.refusals import RequestRefused

ANY = re.compile(".*")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/healthz", "probes"),
        ("POST", "/healthz", "other"),
        ("POST", "/auth/token", "sign-in"),
        ("GET", "/sign-in", "other"),
        ("POST", "/join/abc", "sign-in"),
        ("POST", "/dashboard/account/password", "sign-in"),
        ("GET", "/gateway/logins", "feeds"),
        ("GET", "/provisioning/exhausted", "feeds"),
        ("POST", "/sign-in", "sign-in"),
        ("POST", "/analytics/ingest", "intake"),
        ("POST", "/log/ingest", "intake"),
        ("POST", "/1.0/public/user/log/ingest", "intake"),
        ("GET", "/analytics/ingest", "other"),
        ("POST", "/1/event/", "events"),
        ("POST", "/1/events", "events"),
        ("GET", "/1/timeseries/1/2/", "heavy reads"),
        ("GET", "/applications/abc/export", "heavy reads"),
        ("GET", "/1.0/public/user/log/search", "heavy reads"),
        ("GET", "/analytics/graph", "heavy reads"),
        ("GET", "/analytics/traffic", "other"),
        ("PUT", "/provisioning/orders/o-1", "orders"),
        ("GET", "/provisioning/orders/o-1", "other"),
        ("POST", "/provisioning/orders/o-1/top-ups", "other"),
        ("POST", "/admin/geo/staticip/import/", "admin"),
        ("GET", "/\n", "other"),
    ],
)
def test_each_route_has_a_lane(method: str, path: str, name: str) -> None:
    async def lane() -> str:
        return Lanes().of(method, path).rules.name

    assert asyncio.run(lane()) == name


def known(name: str) -> Caller:
    return Caller(name, is_known=True)


def lane_of(threads: int, per_caller: int, wait_seconds: float = 30) -> Lane:
    return Lane(Rules("test", ANY, ANY, threads, per_caller, wait_seconds))


@asynccontextmanager
async def working(lane: Lane, *callers: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """One request of each caller holds a thread; yields a function that ends them."""
    end = threading.Event()
    begun = threading.Semaphore(0)

    def work() -> None:
        begun.release()
        end.wait()

    async def request(caller: str) -> None:
        async with lane.share(known(caller)):
            await lane.run(work)

    tasks = [asyncio.create_task(request(caller)) for caller in callers]
    for _ in callers:
        await asyncio.to_thread(begun.acquire)

    async def finish() -> None:
        end.set()
        await asyncio.gather(*tasks)

    try:
        yield finish
    finally:
        await finish()
        lane.shut_down()


async def ask(lane: Lane, caller: str) -> str:
    async with lane.share(known(caller)):
        return await lane.run(lambda: "answer")


def test_a_caller_at_its_limit_is_refused_after_a_while_and_another_is_served() -> None:
    async def scenario() -> None:
        lane = lane_of(threads=3, per_caller=2, wait_seconds=0.1)
        async with working(lane, "busy", "busy"):
            with pytest.raises(RequestRefused) as refused:
                await ask(lane, "busy")
            assert (refused.value.status, refused.value.wait) == (429, 1)
            assert await ask(lane, "other") == "answer"

    asyncio.run(scenario())


def test_eight_servers_of_one_api_push_events_at_once_and_leave_threads_to_another() -> None:
    async def scenario() -> None:
        lane = Lane(next(rules for rules in RULES if rules.name == "events"))
        async with working(lane, *["one"] * 8):
            assert await ask(lane, "other") == "answer"

    asyncio.run(scenario())


def test_a_caller_at_its_limit_is_served_when_a_thread_is_free() -> None:
    async def scenario() -> None:
        lane = lane_of(threads=1, per_caller=1)
        async with working(lane, "busy") as finish:
            waiting = asyncio.create_task(ask(lane, "busy"))
            await finish()
            assert await waiting == "answer"

    asyncio.run(scenario())


def test_only_a_few_requests_of_a_caller_queue() -> None:
    async def scenario() -> None:
        lane = lane_of(threads=1, per_caller=1)
        async with working(lane, "busy") as finish:
            waiting = [asyncio.create_task(ask(lane, "busy")) for _ in range(WAITING_OF_CALLER)]
            await asyncio.sleep(0)
            with pytest.raises(RequestRefused):
                await ask(lane, "busy")
            await finish()
            assert await asyncio.gather(*waiting) == ["answer"] * WAITING_OF_CALLER

    asyncio.run(scenario())


def test_a_request_whose_client_has_gone_keeps_its_thread_until_it_is_done() -> None:
    async def scenario() -> None:
        lane = lane_of(threads=1, per_caller=2, wait_seconds=0.1)
        begun, end = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            end.wait()

        gone = asyncio.create_task(lane.run(work))
        await asyncio.to_thread(begun.wait)
        gone.cancel()
        with pytest.raises(RequestRefused):
            await ask(lane, "other")
        waiting = asyncio.create_task(lane.run(lambda: "answer", is_begun=True))
        end.set()
        assert await waiting == "answer"
        lane.shut_down()

    asyncio.run(scenario())


def test_an_answer_that_is_sent_in_part_is_not_refused_the_rest() -> None:
    async def scenario() -> None:
        lane = lane_of(threads=1, per_caller=2, wait_seconds=0.01)
        async with working(lane, "busy") as finish:
            rest = asyncio.create_task(lane.run(lambda: "rest", is_begun=True))
            with pytest.raises(RequestRefused):
                await ask(lane, "other")
            assert not rest.done()
            await finish()
            assert await rest == "rest"

    asyncio.run(scenario())


def test_an_address_without_a_known_credential_has_a_small_share_of_any_lane() -> None:
    async def scenario() -> None:
        lane = lane_of(threads=8, per_caller=100, wait_seconds=0.1)
        stranger = Caller("192.0.2.1", is_known=False)
        async with AsyncExitStack() as held:
            for _ in range(PER_ADDRESS):
                await held.enter_async_context(lane.share(stranger))
            with pytest.raises(RequestRefused):
                await held.enter_async_context(lane.share(stranger))
            assert await ask(lane, "known") == "answer"
        lane.shut_down()

    asyncio.run(scenario())
