"""``manage.py backup <directory>``: both stores, as of one moment, while they are in use."""

from __future__ import annotations

import os
import shutil
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from analytics import hold
from fonproxy.backup import BackupError, embedded, manifest, relational, server
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineError

DRAIN_SECONDS: Final = 60.0


class Command(BaseCommand):
    help = (
        "Copies both stores into a new directory while they are in use. Rows that are pushed meanwhile are taken, and "
        "become readable afterwards. The directory appears when it is whole."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, help="made by the command; must not exist")

    def handle(self, *, directory: Path, **options: Any) -> None:
        if directory.exists():
            raise CommandError(f"{directory} exists already: name a new directory.")
        try:
            self._make(directory)
        except (BackupError, EngineError, DatabaseError, hold.HoldLost) as fault:
            raise CommandError(f"No backup was made: {fault}") from None
        except OSError as fault:
            raise CommandError(f"No backup was made in {directory}: {fault.strerror}.") from None
        finally:
            close_client()
        self.stdout.write(f"Both stores are in {directory}. The secrets are not: keep them elsewhere.")

    def _make(self, directory: Path) -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
        try:
            made = manifest.describe(timezone.now().isoformat())
            if settings.CLICKHOUSE:
                made.server_backup = f"{directory.name}-{timezone.now():%Y%m%d%H%M%S}"
                _copy_with_server(draft, made.server_backup)
            else:
                _copy_with_embedded(draft)
            manifest.write(draft, made)
            _flush(draft)
            draft.rename(directory)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


# The relational store first, in both: what it says is in the engine is then in the engine's copy. And while nothing new
# is grouped, the engine's copy has no rows that the relational one does not know of.


def _copy_with_embedded(draft: Path) -> None:
    """What was on its way is sent again after a restore, and recognised: the tokens are among the engine's files."""
    with ExitStack() as links:
        with hold.held():
            relational.dump(draft)
            snapshot = links.enter_context(embedded.linked(settings.DATA_DIR / "clickhouse"))
        embedded.pack(snapshot, draft)


def _copy_with_server(draft: Path, name: str) -> None:
    """A server forgets its tokens in a restore, so nothing may be on its way."""
    with hold.held():
        deadline = monotonic() + DRAIN_SECONDS
        while waiting := hold.unsettled_groups():
            if monotonic() > deadline:
                raise BackupError(
                    f"{waiting} groups of batches are not settled, and could count twice after a restore."
                    " Does ClickHouse answer, and does a worker run? A group that is refused shows why in the admin."
                )
            sleep(0.1)
        relational.dump(draft)
        server.dump(get_client(), name)


def _flush(directory: Path) -> None:
    """Onto the disk, before the name says that it is whole."""
    for path in (*directory.iterdir(), directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
