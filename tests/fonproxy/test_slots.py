"""Concurrent reads of one account."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis as redis_client
from redis.exceptions import RedisError

from fonproxy.api import slots
from fonproxy.api.slots import Slots
from tests import redis


def test_each_account_has_its_own_limited_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "WAIT_SECONDS", 0.05)
    reads = Slots(2)
    assert [reads.acquire(1) for _ in range(3)] == [True, True, False]
    assert reads.acquire(2)
    reads.release(1)
    assert reads.acquire(1)


def test_a_read_that_waits_gets_the_slot_that_comes_free() -> None:
    reads = Slots(1)
    assert reads.acquire(1)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(reads.acquire(1)))
    waiting.start()
    reads.release(1)
    waiting.join(30)
    assert got == [True]


def test_only_a_few_reads_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "WAITING", 0)
    assert not Slots(1).acquire(1)


def test_processes_that_share_redis_share_the_slots(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "WAIT_SECONDS", 0.1)
    with redis.running() as server:
        backend = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": server.url()}}
        here, there = Slots(2, is_shared=True), Slots(2, is_shared=True)
        assert [here.acquire(1), there.acquire(1), there.acquire(1), here.acquire(1), here.acquire(2)] == [
            True,
            True,
            False,
            False,
            True,
        ]
        there.release(1)
        assert here.acquire(1)
        redis_client.Redis.from_url(server.url()).flushdb()  # as if a process had died and its leases expired
        assert there.acquire(1)


def test_without_the_cache_no_slot_stays_acquired(settings: Any) -> None:
    with redis.running() as server:
        backend = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": server.url()}}
        reads = Slots(1, is_shared=True)
        assert reads.acquire(1)
        server.kill()
        reads.release(1)
        for _ in range(2):
            with pytest.raises(RedisError):
                reads.acquire(1)
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        assert reads.acquire(1)
