"""An instant for what must not depend on the clock, and a client that calls with a given key."""

from __future__ import annotations

from datetime import UTC, datetime

from rest_framework.test import APIClient

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse"


def client_with(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=key)
    return client
