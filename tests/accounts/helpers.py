"""A fixed instant, and a client that calls with a given key."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import User

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse"


def access(user: User) -> str:
    return tokens.issue(user, timezone.now()).access


def refresh(user: User) -> str:
    return tokens.issue(user, timezone.now()).refresh


def empty_audit_trail() -> None:
    """For tests that commit.

    PostgreSQL's TRUNCATE bypasses the triggers that refuse deletion; SQLite has no TRUNCATE.
    """
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_records'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        cursor.execute("DELETE FROM audit_records")
        for _, sql in triggers:
            cursor.execute(sql)


def client_with(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=key)
    return client
