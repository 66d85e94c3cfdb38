"""Running requests that were reported to FonProxy before their log line was written.

``watch`` records them in an SQLite file. ``ship`` looks up the session of a log line and reports the line as the end of
that session, so that FonProxy adds only the missing bytes. It ships a line once no session of it can be recorded any
more.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from fonproxy_agent.client import AgentClient, BadRows
from fonproxy_agent.request import Request

PATH: Final = "/gateway/sessions"
LOCK_SECONDS: Final = 10.0
# A listing that took longer to arrive is not recorded. After three times as long, `ship` continues without listings.
MAX_LISTING_SECONDS: Final = 10.0
# Squid's clock may be slightly behind the machine's.
MARGIN_SECONDS: Final = 0.1
# How far a line's end may be before a listing that had the request, because Squid reads the clock only now and then.
CLOCK_SECONDS: Final = 1.0
# Squid rounds the times in its log.
TOLERANCE_MS: Final = 3
KEPT_SECONDS: Final = 3 * 86_400.0
# Starts the transaction that copies the rows of an older version.
SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS running (
    id TEXT PRIMARY KEY, login TEXT NOT NULL, client TEXT NOT NULL, start_ms INTEGER NOT NULL, domain TEXT NOT NULL,
    seen_at REAL NOT NULL, received INTEGER NOT NULL, line TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS running_start ON running (login, client, start_ms);
CREATE TABLE IF NOT EXISTS listing (id INTEGER PRIMARY KEY CHECK (id = 1), began_at REAL NOT NULL);
INSERT OR IGNORE INTO listing VALUES (1, 0);
"""
HAS_OLDER_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'session'"
# The request's bytes are unknown: judging by them, any line may be its own.
CARRY_OVER: Final = """
INSERT OR IGNORE INTO running SELECT id, login, client, start_ms, '', seen_at, 0, line FROM session
"""
# An older `ship` would find no session in its own table and ship whole lines. This view makes it fail with an error.
REFUSE_OLDER: Final = "CREATE VIEW IF NOT EXISTS session AS SELECT NULL AS is_now_running"


class SessionReport(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Counters of one session since its start, in ISO 8601. ``bytes_received`` went to the customer."""

    session: str
    login: str
    worker: str
    started_at: str
    bytes_sent: int
    bytes_received: int
    ended: bool = False
    requests: int = 0
    domain: str = ""
    ip_from: str = ""


class SampleBody(msgspec.Struct, frozen=True):
    samples: list[SessionReport]


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def report(client: AgentClient, samples: list[SessionReport]) -> list[tuple[SessionReport, str]]:
    """Reports samples; returns those that FonProxy refuses, such as those of unknown logins, with the reason.

    Raises Unreachable.
    """
    refused: list[tuple[SessionReport, str]] = []
    while samples:
        try:
            client.post(PATH, SampleBody(samples), {})
        except BadRows as problem:
            bad = {row.index: row.message for row in problem.rows}
            if not bad.keys() & set(range(len(samples))):
                raise
            refused += [(sample, bad[index]) for index, sample in enumerate(samples) if index in bad]
            samples = [sample for index, sample in enumerate(samples) if index not in bad]
        else:
            break
    return refused


class CounterStore:
    """The SQLite file that ``watch`` and ``ship`` share."""

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = sqlite3.connect(path, LOCK_SECONDS)
        self._database.execute("PRAGMA journal_mode = WAL")
        with self._database:
            self._database.executescript(SCHEMA)
            if self._database.execute(HAS_OLDER_TABLE).fetchone():
                self._database.execute(CARRY_OVER)
                self._database.execute("DROP TABLE session")
            self._database.execute(REFUSE_OLDER)

    def record(self, samples: Iterable[tuple[SessionReport, int]], began_at: float) -> bool:
        """Records the sessions of a listing requested at ``began_at``, with their starts in milliseconds.

        Returns False if the listing took too long: nothing of it may then be reported.
        """
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT INTO running VALUES (?, ?, ?, ?, ?, ?, ?, NULL)"
                " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, received = excluded.received",
                (
                    (s.session, s.login, s.ip_from, start_ms, s.domain, began_at, s.bytes_received)
                    for s, start_ms in samples
                ),
            )
            self._database.execute("DELETE FROM running WHERE seen_at < ?", (began_at - KEPT_SECONDS,))
            # Recorded before the clock was set back: by the present clock only the start is known.
            self._database.execute("UPDATE running SET seen_at = start_ms / 1000.0 WHERE seen_at > ?", (began_at,))
            self._database.execute("UPDATE listing SET began_at = ?", (began_at,))
            if time.time() - began_at > MAX_LISTING_SECONDS:
                self._database.rollback()
                return False
        return True

    def complete_until(self, now: float) -> float | None:
        """The time before which all sessions of ended requests are recorded; None if `watch` does not run."""
        began_at: float = self._database.execute("SELECT began_at FROM listing").fetchone()[0]
        return began_at - MARGIN_SECONDS if abs(now - began_at) < 3 * MAX_LISTING_SECONDS else None

    def claim(self, request: Request, line: str) -> tuple[str, str, int] | None:
        """The session of a request with its login and its start in milliseconds, which then belongs to this line only.

        None if the request was not watched.
        """
        for login in (request.login, *request.shorter_logins):
            with self._database:
                if found := self._find(request, login, line):
                    self._database.execute("UPDATE running SET line = ? WHERE id = ?", (line, found[0]))
                    return found[0], login, found[1]
        return None

    def _find(self, request: Request, login: str, line: str) -> tuple[str, int] | None:
        """The session that fits the request.

        A client starts many requests at once, and the log does not have its port. A watched request fits if it did not
        run beyond the line's end and had transferred no more than the line. Each line takes the largest of those, so
        each session gets a line that is not smaller, and in the end the reported sum is that of the lines, whichever
        belongs to which. If none fits, the line may count less than the listing did, or the clock was set back since
        the listing. It then takes the request with the nearest start, but none that ran on: the line of a short request
        that was never recorded must not take the session of a long one.
        """
        start_ms = request.end_ms - request.duration_ms
        found: tuple[str, int] | None = self._database.execute(
            "SELECT id, start_ms FROM ("
            "SELECT *, seen_at <= :end + :clock AND received <= :received AS fits FROM running"
            " WHERE login = :login AND client = :client"
            " AND start_ms BETWEEN :start - :tolerance AND :start + :tolerance)"
            " WHERE line = :line OR line IS NULL AND (fits OR seen_at <= :end OR seen_at > :now)"
            " ORDER BY line IS NULL, fits DESC, domain != :domain, fits * received DESC, abs(start_ms - :start), id"
            " LIMIT 1",
            {
                "login": login,
                "client": request.client,
                "start": start_ms,
                "tolerance": TOLERANCE_MS,
                "line": line,
                "end": request.end_ms / 1000,
                "clock": CLOCK_SECONDS,
                "now": time.time(),
                "received": request.bytes_received,
                "domain": request.domain,
            },
        ).fetchone()
        return found
