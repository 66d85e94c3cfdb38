"""How many reads of one account this process works on at once, whichever of its keys they come with."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

# Waiting holds a thread, so few may, and not for long.
WAITING: Final = 4
WAIT_SECONDS: Final = 1.0


class Slots:
    def __init__(self, most: int) -> None:
        self._most = most
        self._condition = threading.Condition()
        self._held: Counter[int] = Counter()
        self._waiting: Counter[int] = Counter()

    def take(self, account_id: int) -> bool:
        """Takes one of the account's slots, if one comes free soon."""
        with self._condition:
            if self._waiting[account_id] >= WAITING:
                return False
            self._waiting[account_id] += 1
            is_free = self._condition.wait_for(lambda: self._held[account_id] < self._most, WAIT_SECONDS)
            self._waiting = +(self._waiting - Counter({account_id: 1}))
            self._held[account_id] += is_free
            return is_free

    def give_back(self, account_id: int) -> None:
        with self._condition:
            self._held = +(self._held - Counter({account_id: 1}))
            self._condition.notify_all()


reads: Final = Slots(settings.READS_AT_ONCE)


class HeldSlots:
    """Middleware that gives a request's slot back when it is answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        finally:
            account_id = getattr(request, "read_slot", None)
            if account_id is not None:
                reads.give_back(account_id)
