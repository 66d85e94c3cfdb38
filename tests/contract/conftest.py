"""Fixtures shared by the contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import time_machine
from rest_framework.test import APIClient

from accounts.models import User
from tests.contract.present import NOW


@pytest.fixture(autouse=True)
def _present() -> Iterator[None]:
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def api(alice: User, make_key: Callable[..., str]) -> APIClient:
    """Alice, by a pair of keys as Byteful's clients send it."""
    secret = make_key(alice)
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_X_API_PUBLIC_KEY=secret[:8], HTTP_X_API_PRIVATE_KEY=secret)
    return client
