"""``manage.py seed_demo``: accounts to try FonProxy with."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts import demo


class Command(BaseCommand):
    help = "Makes the demo accounts that are missing and prints how to get in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server listens, for the examples")

    def handle(self, *, url: str, **options: Any) -> None:
        credentials = demo.make_accounts(timezone.now())
        shell = settings.DATA_DIR / "demo.env"
        _write_private(
            shell,
            f"export BASE_URL={url}\n"
            f"export READ_KEY={credentials.read_key}\n"
            f"export INGEST_KEY={credentials.ingest_key}\n",
        )
        self.stdout.write(
            f"""
  Admin      {url}/admin/   user admin, password {credentials.password}
  Customers  {", ".join(demo.CUSTOMERS)}, with the same password
  Reference  {url}/docs
  Keys       in {os.path.relpath(shell)}, to be read into a shell with:  . {os.path.relpath(shell)}
             READ_KEY reads as alice, INGEST_KEY pushes as a proxy worker
"""
        )


def _write_private(path: Path, text: str) -> None:
    """Readable by its owner only from the start."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
