"""Transactions on SQLite, which allows one writer at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import Final

from django.db import OperationalError, connection, transaction

PATIENCE_SECONDS: Final = 20.0
# SQLite's busy handler sleeps up to this long between two attempts to write.
BUSY_SLEEP_SECONDS: Final = 0.1

_turn: Final = threading.Lock()


@contextmanager
def taking_turns() -> Iterator[None]:
    """A transaction for which this process's threads queue; in SQLite's busy handler they would sleep, longer each
    time.

    Within another transaction it joins that one. PostgreSQL locks rows, so its threads do not queue.
    """
    is_queueing = connection.vendor == "sqlite" and not connection.in_atomic_block
    if is_queueing and not _turn.acquire(timeout=PATIENCE_SECONDS):
        raise OperationalError("database is locked")
    try:
        with transaction.atomic():
            yield
    finally:
        if is_queueing:
            _turn.release()


@contextmanager
def without_waiting() -> Iterator[None]:
    """Writes in this block raise OperationalError while another connection writes to SQLite, instead of waiting.

    On PostgreSQL, which locks rows, nothing changes.
    """
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        [patience] = cursor.fetchone()
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience:d}")


def let_others_write() -> None:
    """Call it between the transactions of a long run, whose gaps waiting writers would otherwise miss on SQLite."""
    if connection.vendor == "sqlite":
        sleep(BUSY_SLEEP_SECONDS)
