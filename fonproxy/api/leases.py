"""Leases of an account that all processes share through the cache. Those of a process that died expire."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Final
from uuid import uuid4

from django.core.cache import cache
from redis.exceptions import RedisError


class Lease:
    """One of a limited number of places under a name, once acquired."""

    def __init__(self, name: str, places: int, seconds: int) -> None:
        self._places: Final = [f"{name}:{number}" for number in range(places)]
        self._seconds = seconds
        self._holder = uuid4().hex
        self._held = ""
        self._until = 0.0

    def acquire(self) -> bool:
        """Returns whether a place was free."""
        until = monotonic() + self._seconds  # counted from before the call: never longer than the cache keeps it
        self._held = next((place for place in self._places if cache.add(place, self._holder, self._seconds)), "")
        self._until = until
        return bool(self._held)

    def renew(self) -> bool:
        """Extends the lease, or acquires another; False if it expired and no place is free."""
        until = monotonic() + self._seconds
        if self._held and cache.get(self._held) == self._holder and cache.touch(self._held, self._seconds):
            self._until = until
            return True
        return self.acquire()

    def release(self) -> None:
        """Frees the place; without the cache, or if the lease may have expired, the place frees itself."""
        if self._held and monotonic() < self._until:
            with suppress(RedisError):
                cache.delete(self._held)
        self._held = ""
