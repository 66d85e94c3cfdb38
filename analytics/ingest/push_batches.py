"""Small pushes to one ingest route that arrive at the same time, stored together.

One query finds their keys and one their owners, their columns are built together, and one transaction records them. For
a small push on its own, these steps cost more than its rows. Only pushes without any error or peculiarity are stored
here; the view answers all others as if they had arrived alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from accounts.authentication import find_active_keys, key_secret
from accounts.models import ApiKey, Scope
from analytics.ingest import decode, journal, lists
from analytics.ingest.attribution import AttributionMap
from analytics.ingest.checks import Columns, all_sound
from analytics.ingest.duplicates import is_repeated
from analytics.ingest.flusher import flusher
from analytics.ingest.group_commit import committer
from analytics.ingest.schema import FAULTS, RowSchema
from analytics.ingest.service import KEY, count_ingested, prefers_async
from analytics.models import IngestBatch
from fonproxy.clickhouse import retention
from fonproxy.server.batches import Environ, Handled

# Byteful's pair of keys, which takes precedence over other credentials; the view checks it.
KEY_PAIR: Final = frozenset({"HTTP_X_API_PUBLIC_KEY", "HTTP_X_API_PRIVATE_KEY"})

log = logging.getLogger(__name__)


class _Push(NamedTuple):
    """A push with a valid key, decoded but not checked."""

    account_id: int
    idempotency_key: str | None
    waits: bool
    body: bytes
    rows: Sequence[Any]


@dataclass(frozen=True, slots=True)
class PushBatches:
    """The pushes to one route. The retention of the table ``kept_in`` bounds the times of their rows."""

    route: IngestBatch.Route
    schema: RowSchema[Any]
    kept_in: str
    to_lists: Callable[[Columns, AttributionMap, datetime], lists.Lists]

    def accept(self, environs: Sequence[Environ]) -> list[Handled | None]:
        """Stores these requests' rows; returns None for requests that the view must answer, of which nothing is stored.

        Raises database errors while it records; whether a push is stored is then as uncertain as after a lost response,
        so only the client may repeat it.
        """
        close_old_connections()
        try:
            if not flusher.is_running or flusher.engine_is_unavailable:
                return [None] * len(environs)
            with flusher.reading():
                return self._accept(environs, timezone.now())
        finally:
            close_old_connections()

    def _accept(self, environs: Sequence[Environ], now: datetime) -> list[Handled | None]:
        answers: list[Handled | None] = [None] * len(environs)
        try:
            pushes = dict(enumerate(self._decoded(environs)))
            sound = self._sound({number: push for number, push in pushes.items() if push is not None}, now)
            arrivals = [self._arrival(push, rows, now) for push, rows in sound.values()]
        except Exception:  # nothing is stored yet: what one push has caused must not fail the others
            log.exception("pushes could not be worked on together")
            return answers
        if not arrivals:
            return answers
        for (number, (push, rows)), outcome in zip(sound.items(), committer.record_all(arrivals), strict=True):
            if isinstance(outcome, journal.Recorded) and outcome.is_new:
                count_ingested(self.route, push.body, rows)
                queued = flusher.queue(outcome.batch, rows, waits=push.waits)
                answers[number] = Handled(push.account_id, partial(flusher.wait_for, queued) if queued else None)
        return answers

    def _decoded(self, environs: Sequence[Environ]) -> Iterator[_Push | None]:
        secrets = list(map(_secret, environs))
        keys = find_active_keys({secret for secret in secrets if secret is not None})
        for environ, secret in zip(environs, secrets, strict=True):
            key = keys.get(secret) if secret is not None else None
            yield self._push(environ, key) if key is not None and key.has_scope(Scope.INGEST) else None

    def _push(self, environ: Environ, key: ApiKey) -> _Push | None:
        """The push, if it is plain JSON with few rows; otherwise None."""
        idempotency_key = environ.get("HTTP_IDEMPOTENCY_KEY")
        if "HTTP_CONTENT_ENCODING" in environ or (idempotency_key is not None and not KEY.fullmatch(idempotency_key)):
            return None
        body = environ["wsgi.input"].read()
        try:
            rows = self.schema.decode_rows(body)
        except FAULTS:
            return None
        if not 0 < len(rows) <= min(lists.MAX_ROWS, settings.INGEST_MAX_ROWS) or len(body) > settings.INGEST_MAX_BYTES:
            return None
        if is_repeated("logs", body, len(rows)):
            return None
        return _Push(key.user_id, idempotency_key, not prefers_async(environ.get("HTTP_PREFER", "")), body, rows)

    def _sound(self, pushes: Mapping[int, _Push], now: datetime) -> dict[int, tuple[_Push, lists.Lists]]:
        """The pushes whose rows pass every check, with their rows for the inbox."""
        oldest = retention.floor(self.kept_in, now)
        owners = AttributionMap.of({row.who for push in pushes.values() for row in push.rows})
        columns = self._columns(pushes)
        if not all_sound(columns, owners, oldest, now):
            pushes = {number: push for number, push in pushes.items() if self._is_sound(push, owners, oldest, now)}
            columns = self._columns(pushes)
        if not pushes:
            return {}
        parts = lists.split(self.to_lists(columns, owners, now), [len(push.rows) for push in pushes.values()])
        return dict(zip(pushes, zip(pushes.values(), parts, strict=True), strict=True))

    def _is_sound(self, push: _Push, owners: AttributionMap, oldest: datetime, now: datetime) -> bool:
        columns = decode.columns_of(self.schema, push.rows)
        return all_sound(columns, owners.among(columns["who"]), oldest, now)

    def _columns(self, pushes: Mapping[int, _Push]) -> Any:
        return decode.columns_of(self.schema, [row for push in pushes.values() for row in push.rows])

    def _arrival(self, push: _Push, rows: lists.Lists, now: datetime) -> journal.Arrival:
        origin = journal.BatchOrigin.of(
            push.body, account_id=push.account_id, route=self.route, key=push.idempotency_key
        )
        return journal.Arrival.of(origin, rows, now=now, claimed=True)


def _secret(environ: Environ) -> str | None:
    """The secret of an API key, valid or not; None if the view must decide about the caller."""
    if not KEY_PAIR.isdisjoint(environ):
        return None
    return key_secret(environ.get("HTTP_X_API_KEY"), environ.get("HTTP_AUTHORIZATION", ""))
