"""A copy of every login's state in an SQLite file, for decisions while FonProxy is unreachable.

Several helper processes share the file; only one of them fetches changes at a time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fonproxy_agent.client import AgentClient

PATH: Final = "/gateway/logins"
LOCK_SECONDS: Final = 5.0
# A copy of another version is dropped and fetched again.
SCHEMA_VERSION: Final = 2
SCHEMA: Final = (
    "DROP TABLE IF EXISTS login",
    "DROP TABLE IF EXISTS sync",
    """CREATE TABLE login (
        name TEXT PRIMARY KEY, verifier TEXT NOT NULL, allowed_ips TEXT NOT NULL, refusal TEXT NOT NULL,
        generation INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE sync (
        id INTEGER PRIMARY KEY CHECK (id = 1), cursor TEXT NOT NULL, started_at REAL NOT NULL,
        finished_at REAL NOT NULL, generation INTEGER NOT NULL
    )""",
    "INSERT INTO sync VALUES (1, '', 0, 0, 0)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class LoginState(msgspec.Struct, frozen=True, rename="camel"):
    """``verifier`` is a crypt(3) string, null for a login without a password; no ``allowed_ips`` means any address.

    ``state`` is the reason why a login is stopped.
    """

    login: str
    verifier: str | None = None
    allowed_ips: list[str] = []
    state: str | None = None
    stopped: bool = False
    deleted: bool = False


class LoginPage(msgspec.Struct, frozen=True, rename="camel"):
    """With ``reset`` the page starts from the beginning: logins that are not listed again are gone."""

    logins: list[LoginState]
    cursor: str
    has_more: bool = False
    reset: bool = False


class KnownLogin(NamedTuple):
    """``refusal`` is the reason to refuse a stopped login, else empty."""

    verifier: str
    allowed_ips: list[str]
    refusal: str


class LoginStore:
    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # the file contains the passwords' verifiers
        with self._connection() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                for statement in SCHEMA:
                    database.execute(statement)

    def find(self, login: str) -> KnownLogin | None:
        with self._connection() as database:
            query = "SELECT verifier, allowed_ips, refusal FROM login WHERE name = ?"
            row = database.execute(query, (login,)).fetchone()
        return KnownLogin(row[0], json.loads(row[1]), row[2]) if row else None

    def finished_at(self) -> float:
        """When the latest changes were complete, in seconds since the epoch; 0 if never."""
        with self._connection() as database:
            finished: float = database.execute("SELECT finished_at FROM sync").fetchone()[0]
        return finished

    def sync(self, client: AgentClient, every_seconds: float) -> None:
        """Fetches changes, unless another process started to fetch less than ``every_seconds`` ago."""
        now = time.time()
        with self._connection() as database:
            # A clock that was set back must not delay it.
            due = "UPDATE sync SET started_at = ? WHERE NOT started_at BETWEEN ? AND ? RETURNING cursor"
            row = database.execute(due, (now, now - every_seconds, now)).fetchone()
        if row is None:
            return
        cursor, has_more = row[0], True
        while has_more:
            page = client.get(f"{PATH}?since={cursor}" if cursor else PATH, LoginPage)
            self._save(page)
            cursor, has_more = page.cursor, page.has_more
        with self._connection() as database:
            database.execute("DELETE FROM login WHERE generation < (SELECT generation FROM sync)")
            database.execute("UPDATE sync SET finished_at = ?", (now,))

    def _save(self, page: LoginPage) -> None:
        with self._connection() as database:
            if page.reset:
                database.execute("UPDATE sync SET generation = generation + 1")
            database.executemany(
                "INSERT OR REPLACE INTO login SELECT ?, ?, ?, ?, generation FROM sync",
                [
                    (state.login, state.verifier or "", json.dumps(state.allowed_ips), _refusal(state))
                    for state in page.logins
                    if not state.deleted
                ],
            )
            gone = [(state.login,) for state in page.logins if state.deleted]
            database.executemany("DELETE FROM login WHERE name = ?", gone)
            database.execute("UPDATE sync SET cursor = ?", (page.cursor,))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with closing(sqlite3.connect(self._path, LOCK_SECONDS)) as database, database:
            yield database


def _refusal(login: LoginState) -> str:
    return (login.state or "exhausted") if login.stopped else ""
