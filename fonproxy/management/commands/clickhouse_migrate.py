"""``clickhouse_migrate [--dry-run]``: brings ClickHouse's schema up to date."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fonproxy.backup import BackupError, consistency_check
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineError


class Command(BaseCommand):
    help = "Apply the numbered SQL files that have not run yet, and set retention as declared."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the SQL that would run, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._dry_run() if options["dry_run"] else self._migrate()
        except (BackupError, EngineError, migrator.SchemaError) as error:
            raise CommandError(str(error)) from error
        finally:
            close_client()

    def _dry_run(self) -> None:
        for statement in migrator.plan(get_client()):
            self.stdout.write(f"{statement};\n")

    def _migrate(self) -> None:
        consistency_check.refuse_half_moved(get_client())
        consistency_check.refuse_rows_without_users(get_client())
        applied = migrator.migrate(get_client())
        self.stdout.write(f"Applied {', '.join(applied)}." if applied else "The schema is up to date.")
