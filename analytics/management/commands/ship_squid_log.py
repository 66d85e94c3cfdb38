"""``manage.py ship_squid_log``: what a Squid proxy carried, from its access log to the intake."""

from __future__ import annotations

import signal
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from analytics.squid.files import Rotation
from analytics.squid.server import Server
from analytics.squid.shipper import Patience, Report, Shipper
from analytics.squid.state import Stop


class Command(BaseCommand):
    help = (
        "Pushes a Squid access log, added up by minute, login, domain and error. Started again after "
        "anything, it goes on where it was; nothing counts twice."
    )
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the access log; what it was rotated to is found beside it")
        parser.add_argument("--url", required=True, help="where FonProxy is, such as https://usage.example.com")
        parser.add_argument("--key", required=True, help="an API key with the scope ingest")
        parser.add_argument(
            "--raw", action="store_true", help="push every request by itself, for the log of the last seven days"
        )
        parser.add_argument("--follow", action="store_true", help="wait for more, across rotation, until stopped")

    def handle(self, *, file: Path, url: str, key: str, raw: bool, follow: bool, **options: Any) -> None:
        patience = Patience()

        def stop(number: int, frame: FrameType | None) -> None:
            if patience.is_over:  # asked twice: nothing is lost by leaving at once
                sys.exit(1)
            patience.is_over = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        with tqdm(total=_size(file), unit="B", unit_scale=True, disable=None, file=sys.stderr) as bar:
            try:
                shipper = Shipper(
                    Rotation(file.absolute()),
                    Server(url, key),
                    worker=socket.gethostname(),
                    is_raw=raw,
                    follow=follow,
                    patience=patience,
                    say=lambda text: bar.write(text, file=sys.stderr),
                    progress=lambda size: bar.update(size),
                )
                shipper.run()
            except (Stop, OSError) as reason:
                raise CommandError(str(reason)) from None
            finally:
                bar.close()
        self._tell(shipper.report)
        if patience.is_over and not follow:
            raise CommandError("Stopped before the end of the log: start again to go on.")

    def _tell(self, report: Report) -> None:
        totals = report.totals
        self.stdout.write(
            f"{totals.lines:,} lines: {totals.shipped:,} requests shipped, {totals.bytes_received:,} bytes to and "
            f"{totals.bytes_sent:,} bytes from customers."
        )
        if totals.unauthenticated:
            self.stdout.write(f"{totals.unauthenticated:,} requests of nobody who had signed in were left out.")
        if totals.untimely:
            self.stdout.write(f"{totals.untimely:,} requests too old or too far in the future were left out.")
        for login, count in sorted(report.unknown.items()):
            self.stdout.write(f"{count:,} requests of the unknown login {login!r} were left out.")
        if totals.bad:
            self.stderr.write(f"{totals.bad:,} lines could not be read:")
            for reason, count in report.faults.most_common():
                self.stderr.write(f"  {count:,} times: the line {reason}")
            for line, reason in report.named_faults:
                self.stderr.write(f"  line {line:,} {reason}")


def _size(file: Path) -> int | None:
    """For the progress bar alone."""
    try:
        return file.stat().st_size
    except OSError:
        return None
