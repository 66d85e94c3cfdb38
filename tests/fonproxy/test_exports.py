"""An account may run a few exports at once; a place is freed when its export ends, is abandoned, or crashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_client
from django.core.cache import cache

from fonproxy.api import exports
from fonproxy.api.errors import TooBusy
from fonproxy.api.exports import Export, Interrupted, streamed
from tests import redis

ALICE, BOB = 1, 2


def parts(count: int = 3) -> Iterator[bytes]:
    return iter([b"x"] * count)


def started() -> Any:
    return streamed(ALICE, parts(), "text/plain", "x")


def test_each_account_may_run_two_exports() -> None:
    running = [Export(ALICE, parts()) for _ in range(2)]
    with pytest.raises(TooBusy, match="2 exports of this account are running"):
        Export(ALICE, parts())
    Export(BOB, parts())
    running[0].close()
    Export(ALICE, parts())


def test_an_abandoned_download_releases_its_slot() -> None:
    unread, begun = (started() for _ in range(2))
    assert next(iter(begun.streaming_content)) == b"x"
    for answer in (unread, begun):
        for close in answer._resource_closers:
            close()
    assert [b"".join(started().streaming_content) for _ in range(2)] == [b"xxx"] * 2


def test_an_export_that_fails_at_once_takes_no_slot() -> None:
    def failing() -> Iterator[bytes]:
        yield from ()
        raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            streamed(ALICE, failing(), "text/plain", "x")


def test_an_active_download_keeps_its_slot_and_a_stalled_one_reacquires_it_if_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exports, "RENEW_SECONDS", -1)
    first, second = (Export(ALICE, parts()) for _ in range(2))
    assert (next(first), next(second)) == (b"x", b"x")
    cache.clear()  # as if both had made no progress for longer than their leases
    assert next(first) == b"x"
    other = Export(ALICE, parts())
    with pytest.raises(Interrupted):
        next(second)
    other.close()
    assert next(second) == b"x"


def test_slots_are_shared_through_redis_and_work_per_process_without_it(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "RENEW_SECONDS", -1)
    with redis.running() as server:
        backend = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": server.url()}}
        other = redis_client.Redis.from_url(server.url())
        first = Export(ALICE, parts())
        assert len(other.keys("*export*")) == 1
        Export(ALICE, parts())
        with pytest.raises(TooBusy):
            Export(ALICE, parts())
        other.flushdb()  # as if another process had let its leases expire
        assert next(first) == b"x"
        assert len(other.keys("*export*")) == 1
        server.kill()
        assert next(first) == b"x"
        first.close()
