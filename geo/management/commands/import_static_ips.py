"""``manage.py import_static_ips FILE``: adds or updates static IPs from a CSV file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from geo.static_ip_csv import COLUMNS, NotCsv, Report, import_csv


class Command(BaseCommand):
    help = f"Add and change static IPs from a CSV file with the columns {', '.join(COLUMNS)} (- reads standard input)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file")

    def handle(self, *, file: str, **options: Any) -> None:
        try:
            source = sys.stdin.fileno() if file == "-" else file
            with open(source, encoding="utf-8", errors="replace", newline="") as lines:
                report = import_csv(lines, timezone.now())
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        except NotCsv as fault:
            raise CommandError(str(fault)) from None
        self._print_report(report)

    def _print_report(self, report: Report) -> None:
        self.stdout.write(
            f"{report.added:,} added, {report.changed:,} changed, {report.unchanged:,} unchanged, "
            f"{report.rejections:,} rejected."
        )
        for reason, count in report.rejected.most_common():
            self.stderr.write(f"{count:,} times: the line {reason}")
        for line, reason in report.named:
            self.stderr.write(f"  line {line:,} {reason}")
