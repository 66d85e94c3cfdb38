"""The ingest journal, through which accepted rows reach the engine exactly once.

A batch is durable once its row is committed. Batches join an insert block in one transaction and never leave it; the
block's id is the engine's deduplication token. Any process may therefore send an unsettled block again, any number of
times.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q

from analytics import abuse_text
from fonproxy.timerange import parse_zone


class InsertBlock(models.Model):
    """Batches of one route that are inserted into the engine together."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField()
    claimed_until = models.DateTimeField(help_text="Until then a process is sending it; afterwards any may.")
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When its rows were known to be in the engine.")

    class Meta:
        verbose_name = "insert block"
        verbose_name_plural = "insert blocks"
        # Replay selects the oldest unsettled block; the index has only those.
        indexes = [models.Index(fields=["created_at"], condition=Q(settled_at=None), name="block_unsettled")]

    def __str__(self) -> str:
        return str(self.id)


class IngestBatch(models.Model):
    """One accepted request body as validated columns."""

    class Route(models.TextChoices):
        TRAFFIC = "traffic", "/analytics/ingest"
        HISTORY = "history", "import_history"
        LOG = "log", "/log/ingest"
        EVENTS = "events", "/1/event/"
        SESSIONS = "sessions", "/gateway/sessions"

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
        help_text="The caller's Idempotency-Key, if any, after its scope.",
    )
    body_hash = models.BinaryField(
        null=True, help_text="SHA-256 of the body, kept beside a key to recognise another body."
    )
    rows = models.PositiveIntegerField()
    size = models.PositiveIntegerField(help_text="Bytes of the columns as stored here.")
    columns = models.BinaryField(null=True, help_text="The rows as a compressed Arrow stream, deleted once settled.")
    dirty_days = models.JSONField(help_text="The distinct [order id, day] pairs of its rows.")
    created_at = models.DateTimeField()
    claimed_until = models.DateTimeField(help_text="Until then the process that accepted it will send it.")
    block = models.ForeignKey(InsertBlock, null=True, blank=True, on_delete=models.PROTECT, related_name="batches")
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When it was in the engine, or voided.")
    is_void = models.BooleanField(default=False)
    is_accounted = models.BooleanField(default=False, help_text="Whether the ledger lines of its days are updated.")

    class Meta:
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["account", "route", "key"], name="batch_idempotency_key"),
            # Commands have no account, and NULLs are distinct in a unique constraint.
            models.UniqueConstraint(
                fields=["key"], condition=Q(account=None, route="history"), name="batch_history_once"
            ),
        ]
        indexes = [
            # The journal's depth, and free batches for replay; the index has only unsettled batches.
            models.Index(fields=["block", "id"], condition=Q(settled_at=None), name="batch_unsettled"),
            models.Index(fields=["settled_at"], name="batch_settled_at"),
            models.Index(fields=["id"], condition=Q(is_accounted=False), name="batch_unaccounted"),
        ]

    def __str__(self) -> str:
        return f"{self.get_route_display()} {self.pk}"

    @property
    def inbox(self) -> str:
        """The table that its rows are inserted into."""
        return INBOXES[self.Route(self.route)]


class IngestPause(models.Model):
    """The row that pauses forming of insert blocks until a backup is done."""

    THE_ONE: Final = 1

    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"until {self.until}"


INBOXES: Final = {
    IngestBatch.Route.TRAFFIC: "inbox",
    IngestBatch.Route.HISTORY: "history_inbox",
    IngestBatch.Route.LOG: "request_inbox",
    IngestBatch.Route.EVENTS: "events",
    IngestBatch.Route.SESSIONS: "inbox",
}


class AbuseReport(models.Model):
    """A report of abuse as received, with the parameters of its lookup. Addresses are looked up at each view."""

    class Margin(models.IntegerChoices):
        NONE = 0, "none"
        FIVE_MINUTES = 5, "5 minutes"
        FIFTEEN_MINUTES = 15, "15 minutes"
        HOUR = 60, "1 hour"
        DAY = 1440, "1 day"

    reference = models.CharField("case", max_length=100, help_text="The reporter's number, or who complained.")
    text = models.TextField(max_length=abuse_text.MAX_TEXT)
    time_zone = models.CharField(max_length=64, default="UTC")
    margin = models.PositiveSmallIntegerField(choices=Margin.choices, default=Margin.FIVE_MINUTES)
    since = models.DateTimeField("time, or from", null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    domain = models.CharField(max_length=255, blank=True, help_text="Only this one, if the complaint names it.")
    outcome = models.CharField(max_length=400, blank=True, help_text="What was done about it. Empty: open.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "abuse report"

    def __str__(self) -> str:
        return self.reference

    @property
    def asked(self) -> list[abuse_text.ReportedUse]:
        """The lookup; raises InvalidReport."""
        margin = timedelta(minutes=self.margin)
        period = None
        if self.since:
            period = (self.since, self.until) if self.until else abuse_text.around(self.since, margin)
        return abuse_text.read(self.text, parse_zone(self.time_zone), margin, period)
