"""Fixtures of the tests that push rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from accounts.models import User
from analytics.ingest.flusher import flusher
from fonproxy.clickhouse.client import Client


@pytest.fixture
def sending(clean_engine: Client) -> Iterator[Client]:
    """The engine, with the sending thread that a server has."""
    flusher.start()
    yield clean_engine
    flusher.stop()


@pytest.fixture
def key(worker: User, make_key: Callable[..., str]) -> str:
    return make_key(worker, ("ingest",))
