"""``manage.py import_history FILE``: imports earlier traffic into the tables that are kept for ever."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from time import sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from django.utils import timezone
from tqdm import tqdm

from analytics.ingest.flusher import flusher
from analytics.models import IngestBatch
from analytics.traffic import history
from fonproxy.api.errors import Unavailable
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineUnavailable


class Command(BaseCommand):
    help = (
        "Import rows of any age: one JSON object per line, as in the body of POST /analytics/ingest, or such bodies. "
        "They count in usage, history, ledgers and daily summaries, not in charts by domain, which have an end. "
        "Nothing is imported if a row is bad. After an interruption the same command continues; nothing counts twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *, file: Path, **options: Any) -> None:
        has_engine = self._has_engine()
        try:
            rows = history.check(file, timezone.now())
            taken = self._take(file, rows)
            if has_engine:
                flusher.replay()
        except history.BadFile as fault:
            raise CommandError(f"Nothing was imported from {file}:\n{fault}") from None
        except OperationalError as fault:
            reason = f"The database is unavailable, or was busy for too long: {fault}."
            raise CommandError(f"{reason} Run the command again; it continues where it stopped.") from None
        except OSError as fault:
            raise CommandError(f"{file} cannot be read: {fault.strerror}.") from None
        finally:
            close_client()
        self.stdout.write(f"{taken:,} rows imported, {rows - taken:,} had already been imported.")
        if IngestBatch.objects.filter(route=IngestBatch.Route.HISTORY, settled_at=None).exists():
            self.stdout.write("Some wait in the journal until a running server sends them to ClickHouse.")

    def _has_engine(self) -> bool:
        """Whether this process can insert. Beside a server with the embedded engine only the server can."""
        try:
            get_client()
        except EngineUnavailable:
            flusher.leave_to_others()
            return False
        return True

    def _take(self, file: Path, rows: int) -> int:
        taken = seen = 0
        with tqdm(total=rows, unit=" rows", disable=not sys.stderr.isatty()) as progress:
            for chunk in history.chunks(file):
                while (new := self._try(chunk)) is None:
                    pass
                taken += new
                seen += len(chunk.rows)
                progress.update(len(chunk.rows))
        if seen != rows:
            raise CommandError(f"{file} changed during the import: {seen:,} rows instead of {rows:,} are in.")
        return taken

    def _try(self, chunk: history.HistoryChunk) -> int | None:
        """The number of rows imported; None when the journal is full and the chunk must be retried."""
        try:
            return history.import_chunk(chunk, timezone.now())
        except Unavailable as full:
            self.stderr.write(str(full))
            sleep(full.wait)
            if not flusher.engine_is_unavailable:
                flusher.replay()
            return None
