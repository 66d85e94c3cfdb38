"""Which threads serve which routes, so that no kind of request uses up the threads of another.

A request waits for its turn here, in the event loop, where waiting costs no thread. One caller gets only some of a
lane's threads, and holds its share until the response is delivered, so a client that reads slowly delays only itself.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from django.conf import settings

from fonproxy.api.parsers import MAX_ORDER_BYTES
from fonproxy.server.callers import Caller
from fonproxy.server.refusals import RequestRefused
from fonproxy.units import MIB

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of a lane.

    ``per_caller`` is how many requests of one caller it handles at once, at most ``PER_ADDRESS`` for an address without
    a known credential; some more wait for up to ``wait_seconds`` and are then refused. ``body_bytes`` is the largest
    body of a caller who may send rows or files, ``buffer_bytes`` the space for all such bodies together. ``by_address``
    is for routes that check credentials: there every caller is an address.
    """

    name: str
    methods: re.Pattern[str]
    paths: re.Pattern[str]
    threads: int
    per_caller: int
    wait_seconds: float
    body_bytes: int = 0
    buffer_bytes: int = 0
    by_address: bool = False

    def share_of(self, caller: Caller) -> int:
        return self.per_caller if caller.is_known else min(self.per_caller, PER_ADDRESS)


_ANY: Final = re.compile(".*", re.DOTALL)
_POST: Final = re.compile("POST")
_READ: Final = re.compile("GET|HEAD")
# How many requests wait for a lane's threads, and how many of one caller for its share.
WAITING: Final = 512
WAITING_OF_CALLER: Final = 128
PER_ADDRESS: Final = 4

# The first match counts.
RULES: Final = (
    Rules("probes", _READ, re.compile(r"/(healthz|readyz|metrics)"), threads=2, per_caller=2, wait_seconds=5),
    # Password hashes are slow on purpose: two at once leave the processors to other requests.
    Rules(
        "sign-in",
        _POST,
        re.compile(r"/(auth/token|sign-in(/.*)?|confirm|password-reset/.*|join/.*|dashboard/account/password)"),
        threads=2,
        per_caller=1,
        wait_seconds=3,
        by_address=True,
    ),
    # Clients of proxies wait for these, so they must not wait for ingest.
    Rules(
        "gateway sign-in",
        _POST,
        re.compile(r"/gateway/(authorize|radius/authorize|gost/auth)"),
        threads=4,
        per_caller=WAITING,
        wait_seconds=5,
    ),
    # The feeds that stop customers at the gateways must not wait for other reads. One account may own all gateways.
    Rules(
        "feeds",
        _READ,
        re.compile(r"/gateway/logins|/provisioning/exhausted"),
        threads=2,
        per_caller=WAITING,
        wait_seconds=5,
    ),
    # All workers may share one key, so no caller has a share.
    Rules(
        "intake",
        _POST,
        re.compile(r"(/1\.0/public/user)?/log/ingest|/analytics/ingest|/gateway/.*"),
        threads=settings.INGEST_CONCURRENCY,
        per_caller=WAITING,
        wait_seconds=20,
        body_bytes=settings.INGEST_MAX_BYTES,
        buffer_bytes=1024 * MIB,
    ),
    Rules(
        "events",
        _POST,
        re.compile(r"/1/events?/?"),
        threads=settings.EVENTS_CONCURRENCY,
        per_caller=8,
        wait_seconds=5,
        body_bytes=settings.INGEST_MAX_BYTES,
        buffer_bytes=256 * MIB,
    ),
    Rules(
        "heavy reads",
        _READ,
        re.compile(
            r"/1/timeseries/.*|/applications/[^/]*/(timeseries/.*|export)"
            r"|(/1\.0/public/user)?/(log/search|analytics/(graph|breakdown))"
        ),
        threads=settings.HEAVY_CONCURRENCY,
        per_caller=3,  # two exports, and a read beside them
        wait_seconds=5,
    ),
    # An order may have thousands of logins.
    Rules(
        "orders",
        re.compile("PUT"),
        re.compile(r"/provisioning/orders/[^/]+"),
        threads=4,
        per_caller=4,
        wait_seconds=5,
        body_bytes=MAX_ORDER_BYTES,
        buffer_bytes=32 * MIB,
    ),
    # Staff upload lists of addresses.
    Rules(
        "admin",
        _ANY,
        re.compile(r"/admin/.*"),
        4,
        per_caller=4,
        wait_seconds=5,
        body_bytes=32 * MIB,
        buffer_bytes=64 * MIB,
    ),
    Rules("other", _ANY, _ANY, threads=settings.SERVER_THREADS, per_caller=4, wait_seconds=5),
)


class Lane:
    """Threads of one kind of work, for one event loop."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.buffered = 0
        self._threads = ThreadPoolExecutor(rules.threads, thread_name_prefix=rules.name)
        self._free = asyncio.Semaphore(rules.threads)
        self._shares: dict[Caller, asyncio.Semaphore] = {}
        self._users: Counter[Caller] = Counter()
        self._waiting = 0

    @asynccontextmanager
    async def share(self, caller: Caller) -> AsyncIterator[None]:
        """Holds one of the caller's places in this lane during the context; Refused when none becomes free."""
        share = self.rules.share_of(caller)
        places = self._shares.setdefault(caller, asyncio.Semaphore(share))
        self._users[caller] += 1
        try:
            if self._users[caller] > share + WAITING_OF_CALLER:
                raise self._busy()
            await self._wait_for(places)
            try:
                yield
            finally:
                places.release()
        finally:
            self._users[caller] -= 1
            if not self._users[caller]:
                del self._users[caller], self._shares[caller]

    async def run(self, work: Callable[[], T], *, is_begun: bool = False) -> T:
        """The result of the work, run in one of the lane's threads; Refused when none becomes free.

        The rest of a response that has been sent in part is never refused.
        """
        if is_begun:
            await self._free.acquire()
        else:
            await self._wait_for_thread()
        loop = asyncio.get_running_loop()
        running = self._threads.submit(work)
        try:
            return await asyncio.wrap_future(running)
        finally:
            if running.done():
                self._free.release()
            else:  # the client has disconnected, and the thread still works
                running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._free.release))

    async def _wait_for_thread(self) -> None:
        if self._waiting >= WAITING:
            raise self._busy()
        self._waiting += 1
        try:
            await self._wait_for(self._free)
        finally:
            self._waiting -= 1

    async def _wait_for(self, places: asyncio.Semaphore) -> None:
        if not places.locked():
            await places.acquire()  # immediately, which is cheaper than with a deadline
            return
        try:
            async with asyncio.timeout(self.rules.wait_seconds):
                await places.acquire()
        except TimeoutError:
            raise self._busy() from None

    def _busy(self) -> RequestRefused:
        return RequestRefused(429, "Too many requests of this kind are in progress.", wait=1)

    def shut_down(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Lanes:
    def __init__(self) -> None:
        self._lanes = [Lane(rules) for rules in RULES]

    def of(self, method: str, path: str) -> Lane:
        return next(
            lane for lane in self._lanes if lane.rules.methods.fullmatch(method) and lane.rules.paths.fullmatch(path)
        )

    def shut_down(self) -> None:
        for lane in self._lanes:
            lane.shut_down()
