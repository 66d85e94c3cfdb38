"""The target of a move: the settings of the new installation that differ."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from environ import Env

from fonproxy.clickhouse.address import Address
from fonproxy.move import MoveError

# Settings of an installation with services.
_SERVICES: Final = (
    "DATABASE_URL",
    "CLICKHOUSE_URL",
    "CLICKHOUSE_CLUSTER",
    "FONPROXY_CLICKHOUSE_REPLICATED",
    "REDIS_URL",
)
SECRET_FILE: Final = "secret_key"  # noqa: S105  # its name


@dataclass(frozen=True, slots=True)
class MoveTarget:
    """The stores that move; one that is None stays where it is. A data directory moves both."""

    database_url: str | None = None
    clickhouse_url: str | None = None
    data_dir: Path | None = None

    @property
    def moves_database(self) -> bool:
        return self.database_url is not None or self.data_dir is not None

    @property
    def moves_clickhouse(self) -> bool:
        return self.clickhouse_url is not None or self.data_dir is not None

    def address(self) -> Address:
        """The ClickHouse to move to. Raises MoveError for an invalid URL."""
        try:
            return Address.parse(self.clickhouse_url or "")
        except ImproperlyConfigured as fault:
            raise MoveError(f"--to-clickhouse: {fault}") from None

    def database_config(self) -> dict[str, Any]:
        """The entry for Django's ``DATABASES``. Raises MoveError for an invalid URL."""
        if self.data_dir is not None:
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": self.data_dir / "fonproxy.sqlite3",
                "OPTIONS": {"transaction_mode": "IMMEDIATE"},
            }
        if not (self.database_url or "").startswith(("postgres://", "postgresql://")):
            raise MoveError("--to-database must be like postgres://user:password@host/name.")
        config: dict[str, Any] = Env.db_url_config(self.database_url)
        return config

    def prepare_data_dir(self) -> None:
        """Creates the directory, with the secret on which keys and ids depend, if the source keeps it in a file."""
        if self.data_dir is None:
            return
        if self.data_dir.resolve() == settings.DATA_DIR:
            raise MoveError("--to-data-dir is the data directory of this installation: name another.")
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept, wanted = settings.DATA_DIR / SECRET_FILE, self.data_dir / SECRET_FILE
        if kept.exists() and not wanted.exists():
            shutil.copy(kept, wanted)

    def run(self, command: str, *arguments: str, keeps_database: bool = False) -> None:
        """Runs a management command as the new installation; raises MoveError with its output if it fails.

        With ``keeps_database`` it uses the relational store of the old installation.
        """
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        if self.data_dir is not None:
            for name in _SERVICES:
                environment.pop(name, None)
            environment["FONPROXY_DATA_DIR"] = str(self.data_dir)
        if self.database_url is not None and not keeps_database:
            environment["DATABASE_URL"] = self.database_url
        if self.clickhouse_url is not None:
            environment["CLICKHOUSE_URL"] = self.clickhouse_url
        ran = subprocess.run(  # noqa: S603  # ours, and no shell
            [sys.executable, "-m", "fonproxy", command, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            reason = (ran.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise MoveError(f"{command} failed for the new installation: {reason}")
