"""One real server for all tests that only call it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving import Server, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving(FONPROXY_THROTTLE_READ="1000000/min", FONPROXY_THROTTLE_PUBLIC="1000000/min") as running:
        yield running
