"""``manage.py backup <directory>``: backs up both stores, as of one instant, while they are in use."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from django.utils import timezone

from accounts import peppers
from analytics.ingest import pause
from fonproxy import disk
from fonproxy.backup import BackupError, embedded, manifest, relational, server
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineError

DRAIN_SECONDS: Final = 60.0


class Command(BaseCommand):
    help = (
        "Copy both stores into a new directory while they are in use. Rows pushed meanwhile are accepted and "
        "become readable afterwards. The directory appears when it is complete."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, help="created by the command; must not exist")

    def handle(self, *, directory: Path, **options: Any) -> None:
        if directory.exists():
            raise CommandError(f"{directory} already exists: name a new directory.")
        if directory.resolve().is_relative_to(settings.DATA_DIR):
            raise CommandError(f"{directory} is in the data directory, and would be lost with it: name another place.")
        try:
            with _clearing_up_when_terminated(), _for_the_owner_only():
                server.refuse_cluster()
                self._make(directory)
        except (BackupError, EngineError, Error, pause.PauseLost) as fault:
            raise CommandError(_with_notes(f"No backup was made: {fault}", fault)) from None
        except OSError as fault:
            raise CommandError(_with_notes(f"No backup was made in {directory}: {fault.strerror}.", fault)) from None
        finally:
            close_client()
        self.stdout.write(f"Both stores are in {directory}. The secrets are not: store them elsewhere.")

    def _make(self, directory: Path) -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
        made = None
        try:
            made = manifest.describe(timezone.now().isoformat(), peppers.in_use())
            if settings.CLICKHOUSE:
                _copy_with_server(draft, made, f"{directory.name}-{timezone.now():%Y%m%d%H%M%S}")
            else:
                _copy_with_embedded(draft)
            made.peppers = sorted({*made.peppers, *peppers.in_use()})  # of keys created during the backup
            manifest.write(draft, made)
            for path in (*draft.iterdir(), draft):
                disk.flush(path)
            draft.rename(directory)
            disk.flush(directory.parent)
        except BaseException as fault:
            shutil.rmtree(draft, ignore_errors=True)
            if made is not None and made.server_backup is not None:
                fault.add_note(
                    f"ClickHouse's copy is on its disk {server.DISK} under {made.server_backup}: delete it there."
                )
            raise


# The relational store is copied first: rows that it marks as inserted are then in ClickHouse's copy too. Insertion is
# paused, so ClickHouse's copy has no rows unknown to the relational one.


def _copy_with_embedded(draft: Path) -> None:
    """Unsettled blocks are inserted again after a restore and deduplicated, because the copy includes the tokens."""
    with ExitStack() as links:
        with pause.paused():
            relational.dump(draft)
            snapshot = links.enter_context(embedded.linked(settings.DATA_DIR / "clickhouse"))
        embedded.pack(snapshot, draft)


def _copy_with_server(draft: Path, made: manifest.Manifest, name: str) -> None:
    """A server loses its tokens in a restore, so all blocks must be settled first."""
    with pause.paused():
        deadline = monotonic() + DRAIN_SECONDS
        while waiting := pause.unsettled_blocks():
            if monotonic() > deadline:
                raise BackupError(
                    f"{waiting} insert blocks are not settled, and could count twice after a restore."
                    " Does ClickHouse answer, and does a worker run? The admin shows why a block was refused."
                )
            sleep(0.1)
        relational.dump(draft)
        made.server_backup = name
        server.dump(get_client(), name)


@contextmanager
def _clearing_up_when_terminated() -> Iterator[None]:
    """SIGTERM raises BackupError within the context."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise BackupError("it was stopped (SIGTERM).")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _for_the_owner_only() -> Iterator[None]:
    """Files written within the context, also by child processes, are readable by this user only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _with_notes(sentence: str, fault: BaseException) -> str:
    return " ".join((sentence, *getattr(fault, "__notes__", ())))
