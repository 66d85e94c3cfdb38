"""Places of an account that all processes share through the cache. That of a process that died runs out."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Final
from uuid import uuid4

from django.core.cache import cache
from redis.exceptions import RedisError


class Lease:
    """One of so many places under a name, once it is taken."""

    def __init__(self, name: str, places: int, seconds: int) -> None:
        self._places: Final = [f"{name}:{number}" for number in range(places)]
        self._seconds = seconds
        self._holder = uuid4().hex
        self._held = ""
        self._until = 0.0

    def take(self) -> bool:
        """Whether a place was free."""
        until = monotonic() + self._seconds  # reckoned from before the call: never longer than the cache keeps it
        self._held = next((place for place in self._places if cache.add(place, self._holder, self._seconds)), "")
        self._until = until
        return bool(self._held)

    def renew(self) -> bool:
        """Keeps the place, or takes one again; False when it ran out and others took its place."""
        until = monotonic() + self._seconds
        if self._held and cache.get(self._held) == self._holder and cache.touch(self._held, self._seconds):
            self._until = until
            return True
        return self.take()

    def give_back(self) -> None:
        """Without the cache, and when it may have run out, the place comes free by itself."""
        if self._held and monotonic() < self._until:
            with suppress(RedisError):
                cache.delete(self._held)
        self._held = ""
