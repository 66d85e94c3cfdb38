"""``manage.py restore <directory>``: restores a backup into two empty stores."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from accounts import peppers
from analytics.ingest import pause
from fonproxy import restore_lock
from fonproxy.backup import BackupError, embedded, manifest, relational, server
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineError


class Command(BaseCommand):
    help = "Restore a backup into empty stores, with every FonProxy process stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, help="created by manage.py backup")

    def handle(self, *, directory: Path, **options: Any) -> None:
        if complaint := restore_lock.complaint():
            raise CommandError(complaint)
        try:
            server.refuse_cluster()
            backup = manifest.read(directory)
            manifest.refuse_unfit(backup)
            manifest.refuse_without_secrets(backup, peppers.known())
            _refuse_full()
            _load(directory, backup)
        except (BackupError, EngineError, Error) as fault:
            raise CommandError(_with_complaint(str(fault))) from None
        except OSError as fault:
            raise CommandError(_with_complaint(f"The backup could not be restored: {fault.strerror}.")) from None
        finally:
            close_client()
        self.stdout.write(f"Restored both stores as of {backup.made_at}. Run migrate and clickhouse_migrate, or serve.")
        if manifest.has_other(manifest.SECRET_KEY, backup):
            self.stderr.write(
                f"{manifest.SECRET_KEY} is not the one that the backup was made under: webhook secrets and"
                " authenticators cannot be read, and links in mails to stop alerts no longer work."
            )


def _refuse_full() -> None:
    is_empty = server.is_empty(get_client()) if settings.CLICKHOUSE else embedded.is_empty(_engine_directory())
    for store, can_take in (("ClickHouse", is_empty), ("The relational store", relational.is_empty())):
        if not can_take:
            raise BackupError(
                f"{store} is not empty, and nothing is overwritten: restore into a new FONPROXY_DATA_DIR or new"
                " databases. Leftovers of an interrupted restore can be removed."
            )


def _load(directory: Path, backup: manifest.Manifest) -> None:
    """Loads both stores. If it is killed, the lock stays and no process opens ClickHouse.

    The relational store comes last and in one transaction: on other hosts, which have no lock file, rows without users
    keep processes from starting until then.
    """
    restore_lock.begin()
    try:
        if backup.server_backup is not None:
            server.load(get_client(), backup.server_backup)
        else:
            embedded.unpack(directory, _engine_directory())
        relational.load(directory)
        pause.release()
    except BaseException:
        with suppress(BackupError, EngineError, Error, OSError):
            _refuse_full()
            restore_lock.end()  # nothing was loaded
        raise
    restore_lock.end()


def _with_complaint(sentence: str) -> str:
    return " ".join(filter(None, (sentence, restore_lock.complaint())))


def _engine_directory() -> Path:
    return settings.DATA_DIR / "clickhouse"
