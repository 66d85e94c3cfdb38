"""Counts events within a window, in the cache, which all processes share if there is Redis."""

from __future__ import annotations

from django.core.cache import cache


def count(key: str, seconds: int) -> int:
    """Counts one more event of this key; returns their number since the window of so many seconds began."""
    cache.add(key, 0, seconds)
    try:
        return cache.incr(key)
    except ValueError:  # the window has just ended
        cache.set(key, 1, seconds)
        return 1
