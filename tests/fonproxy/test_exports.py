"""A few exports of an account run at once; each place comes free when its export ends, is left, or its process dies."""

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


def test_an_account_has_two_places_of_its_own() -> None:
    running = [Export(ALICE, parts()) for _ in range(2)]
    with pytest.raises(TooBusy, match="2 exports of this account are running"):
        Export(ALICE, parts())
    Export(BOB, parts())
    running[0].close()
    Export(ALICE, parts())


def test_a_download_that_is_left_gives_its_place_back() -> None:
    unread, begun = (started() for _ in range(2))
    assert next(iter(begun.streaming_content)) == b"x"
    for answer in (unread, begun):
        for close in answer._resource_closers:
            close()
    assert [b"".join(started().streaming_content) for _ in range(2)] == [b"xxx"] * 2


def test_an_export_that_fails_at_once_takes_no_place() -> None:
    def failing() -> Iterator[bytes]:
        yield from ()
        raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            streamed(ALICE, failing(), "text/plain", "x")


def test_one_that_is_read_keeps_its_place_and_one_that_stood_still_takes_it_again_if_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exports, "RENEW_SECONDS", -1)
    first, second = (Export(ALICE, parts()) for _ in range(2))
    assert (next(first), next(second)) == (b"x", b"x")
    cache.clear()  # as if both had stood still for longer than their leases
    assert next(first) == b"x"
    other = Export(ALICE, parts())
    with pytest.raises(Interrupted):
        next(second)
    other.close()
    assert next(second) == b"x"


def test_processes_that_share_redis_share_the_places_and_go_on_without_it(
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
        other.flushdb()  # as if another process had let its leases run out
        assert next(first) == b"x"
        assert len(other.keys("*export*")) == 1
        server.kill()
        assert next(first) == b"x"
        first.close()
