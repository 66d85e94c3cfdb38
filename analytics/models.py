"""The intake journal: what was accepted, and how it reaches the engine exactly once.

A batch is durable once its row is committed. Which batches form a group is decided once, in one transaction, and never
changed; the group's id is the token under which the engine refuses to take the same rows twice. So whoever finds an
unsettled group may send it again, any number of times, at any time.
"""

from __future__ import annotations

import uuid
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q


class Group(models.Model):
    """Batches of one route that go to the engine in one INSERT."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField()
    claimed_until = models.DateTimeField(help_text="Until then somebody is sending it; afterwards anybody may.")
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When its rows were known to be in the engine.")

    class Meta:
        verbose_name = "group of batches"
        verbose_name_plural = "groups of batches"
        # Replay looks for the oldest group that is not settled; the index holds only those.
        indexes = [models.Index(fields=["created_at"], condition=Q(settled_at=None), name="group_unsettled")]

    def __str__(self) -> str:
        return str(self.id)


class Batch(models.Model):
    """One accepted request body, validated and turned into columns."""

    class Route(models.TextChoices):
        TRAFFIC = "traffic", "/analytics/ingest"
        HISTORY = "history", "import_history"
        LOG = "log", "/log/ingest"
        EVENTS = "events", "/1/event/"

    account = models.ForeignKey(
        # A batch outlives the account that sent it: its rows belong to customers.
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    route = models.CharField(max_length=16, choices=Route.choices)
    key = models.CharField(
        max_length=160,
        null=True,
        blank=True,
        help_text="The caller's Idempotency-Key, if it sent one, after what it holds within.",
    )
    body_hash = models.BinaryField(
        null=True, help_text="SHA-256 of the body, kept beside a key to recognise another body."
    )
    rows = models.PositiveIntegerField()
    size = models.PositiveIntegerField(help_text="Bytes of the columns as stored here.")
    columns = models.BinaryField(null=True, help_text="The rows as a compressed Arrow stream, dropped once settled.")
    touched = models.JSONField(help_text="The distinct [order id, day] pairs of its rows.")
    created_at = models.DateTimeField()
    claimed_until = models.DateTimeField(help_text="Until then the process that took it will send it.")
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.PROTECT, related_name="batches")
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When it was in the engine, or voided.")
    is_void = models.BooleanField(default=False)
    is_accounted = models.BooleanField(default=False, help_text="Whether the ledger has looked at its touched days.")

    class Meta:
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["account", "route", "key"], name="batch_idempotency_key"),
            # Commands have no account, and to a database one NULL is unlike another.
            models.UniqueConstraint(
                fields=["key"], condition=Q(account=None, route="history"), name="batch_history_once"
            ),
        ]
        indexes = [
            # The journal's depth, and what replay still has to group; the index holds only unsettled batches.
            models.Index(fields=["group", "id"], condition=Q(settled_at=None), name="batch_unsettled"),
            models.Index(fields=["settled_at"], name="batch_settled_at"),
            models.Index(fields=["id"], condition=Q(is_accounted=False), name="batch_unaccounted"),
        ]

    def __str__(self) -> str:
        return f"{self.get_route_display()} {self.pk}"

    @property
    def inbox(self) -> str:
        """The engine's table that takes its rows."""
        return INBOXES[self.Route(self.route)]


class Hold(models.Model):
    """The one row that keeps batches from being grouped, and so from being sent, until a backup is done."""

    THE_ONE: Final = 1

    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"until {self.until}"


INBOXES: Final = {
    Batch.Route.TRAFFIC: "inbox",
    Batch.Route.HISTORY: "history_inbox",
    Batch.Route.LOG: "request_inbox",
    Batch.Route.EVENTS: "events",
}


class ExitLookup(models.Model):
    """That a member of staff asked who used an exit address. The answer is looked up again whenever it is viewed."""

    class Within(models.IntegerChoices):
        QUARTER = 15, "15 minutes"
        HOUR = 60, "1 hour"
        DAY = 1440, "1 day"

    address = models.GenericIPAddressField("exit address", unpack_ipv4=True)
    at = models.DateTimeField("time", help_text="UTC, as in the complaint.")
    within = models.PositiveSmallIntegerField(
        choices=Within.choices, default=Within.QUARTER, help_text="How far before and after it to look."
    )
    domain = models.CharField(max_length=255, blank=True, help_text="Only this one, if the complaint names it.")
    note = models.CharField(max_length=255, blank=True, help_text="Why: the number of the case, or who complained.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "exit lookup"

    def __str__(self) -> str:
        return f"{self.address} at {self.at:%Y-%m-%d %H:%M}"
