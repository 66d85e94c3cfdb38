"""Connections of logins, as reported by their proxy servers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import models
from django.db.models import Q

from orders.models.orders import Order

SESSION_SILENCE: Final = timedelta(minutes=3)
"""A session without a report for this long has ended: its proxy server is gone, or lost it."""


class ProxySession(models.Model):
    """One connection of a login, as its proxy server reports it, and the bytes counted so far.

    A proxy server that restarts resets its counters: ``started_at`` changes, so there is a new row.
    """

    session = models.CharField(max_length=128)
    worker = models.CharField(max_length=255)
    login = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    is_sum = models.BooleanField(default=False, help_text="Of all connections of the login, from an unknown start.")
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="+", db_index=False)
    proxy_user_number = models.BigIntegerField()
    bytes_sent = models.BigIntegerField(default=0)
    bytes_received = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    domain = models.CharField(max_length=255, blank=True)
    ip_from = models.CharField("client address", max_length=45, blank=True)
    seen_at = models.DateTimeField("last seen at")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "proxy_sessions"
        constraints = [
            models.UniqueConstraint(fields=["session", "worker", "login", "started_at"], name="proxy_session_once"),
        ]
        indexes = [
            # For running sessions: by login for its limit of connections, by worker for its concurrency.
            models.Index(fields=["login", "seen_at"], condition=Q(ended_at=None), name="proxy_session_of_login"),
            models.Index(fields=["worker", "seen_at"], condition=Q(ended_at=None), name="proxy_session_of_worker"),
            models.Index(fields=["order"], name="proxy_session_order"),
            models.Index(fields=["seen_at"], name="proxy_session_seen"),
        ]

    def __str__(self) -> str:
        return f"{self.login} {self.worker} {self.session}"

    @classmethod
    def running(cls, now: datetime, *logins: str) -> models.QuerySet[ProxySession]:
        """The logins' sessions that have not ended and were reported recently."""
        return cls.objects.filter(login__in=logins, ended_at=None, seen_at__gt=now - SESSION_SILENCE)
