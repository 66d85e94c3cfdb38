"""Limits the concurrent reads of one account, over all its keys, and over all processes if they share Redis.

Reads in one process wait for each other first and wake at once; for a slot that another process holds they poll
briefly.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from time import monotonic, sleep
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from fonproxy.api.leases import Lease

# A waiting request holds a thread, so only a few may wait, and briefly.
WAITING: Final = 4
WAIT_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.05
# A process that dies releases nothing, and its accounts wait for so long. A read that lasts longer lets one more in.
LEASE_SECONDS: Final = 15


class Slots:
    """With ``is_shared``, slots are shared by all processes, which costs each read two cache calls."""

    def __init__(self, most: int, *, is_shared: bool = False) -> None:
        self._most = most
        self._is_shared = is_shared
        self._condition = threading.Condition()
        self._held: Counter[int] = Counter()
        self._waiting: Counter[int] = Counter()
        self._leases: defaultdict[int, list[Lease]] = defaultdict(list)

    def acquire(self, account_id: int) -> bool:
        """Takes one of the account's slots, if one becomes free in time."""
        deadline = monotonic() + WAIT_SECONDS
        with self._condition:
            if self._waiting[account_id] >= WAITING:
                return False
            self._waiting[account_id] += 1
        try:
            is_acquired = self._acquire_here(account_id)
            return is_acquired and (not self._is_shared or self._acquire_over_processes(account_id, deadline))
        finally:
            with self._condition:
                self._waiting = +(self._waiting - Counter({account_id: 1}))

    def _acquire_here(self, account_id: int) -> bool:
        with self._condition:
            is_free = self._condition.wait_for(lambda: self._held[account_id] < self._most, WAIT_SECONDS)
            self._held[account_id] += is_free
            return is_free

    def _acquire_over_processes(self, account_id: int, deadline: float) -> bool:
        lease = Lease(f"read:{account_id}", self._most, LEASE_SECONDS)
        is_taken = False
        try:
            while not (is_taken := lease.acquire()) and monotonic() < deadline:
                sleep(POLL_SECONDS)
            return is_taken
        finally:  # also without the cache
            with self._condition:
                if is_taken:
                    self._leases[account_id].append(lease)
                else:
                    self._free(account_id)

    def release(self, account_id: int) -> None:
        with self._condition:
            leases = self._leases.pop(account_id, [])
            lease = leases.pop() if leases else None
            if leases:
                self._leases[account_id] = leases
            self._free(account_id)
        if lease is not None:
            lease.release()

    def _free(self, account_id: int) -> None:
        self._held = +(self._held - Counter({account_id: 1}))
        self._condition.notify_all()


reads: Final = Slots(settings.READS_AT_ONCE, is_shared=bool(settings.REDIS_URL))


class HeldSlots:
    """Middleware that releases a request's slot when the response is complete."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        finally:
            account_id = getattr(request, "read_slot", None)
            if account_id is not None:
                reads.release(account_id)
