"""A copy of the relational store, of one moment, while others write to it; and its way back into an empty one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from django.db import connection
from django.db.backends.postgresql.client import DatabaseClient

from fonproxy.backup import BackupError, disk

SQLITE_FILE: Final = "fonproxy.sqlite3"
POSTGRESQL_FILE: Final = "fonproxy.pgdump"


def dump(directory: Path) -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(directory / SQLITE_FILE)])
    else:
        _run("pg_dump", "--format=custom", f"--file={directory / POSTGRESQL_FILE}")


def is_empty() -> bool:
    if connection.vendor == "sqlite":
        beside = [_sqlite_file().with_name(f"{SQLITE_FILE}-{kind}") for kind in ("wal", "shm", "journal")]
        # What a process that was killed left there would be played back over the restored file.
        if any(file.exists() for file in beside):
            return False
        return not _sqlite_file().exists() or not _sqlite_file().stat().st_size
    with connection.cursor() as cursor:
        return not connection.introspection.table_names(cursor)


def load(directory: Path) -> None:
    """Fills the empty store, wholly or not at all."""
    if connection.vendor == "sqlite":
        draft = _sqlite_file().with_name(f"{SQLITE_FILE}.restoring")
        try:
            shutil.copyfile(directory / SQLITE_FILE, draft)
            disk.flush(draft)
            draft.replace(_sqlite_file())
        finally:
            draft.unlink(missing_ok=True)
        disk.flush(_sqlite_file().parent)
    else:
        options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
        _run("pg_restore", *options, str(directory / POSTGRESQL_FILE), into=True)


def _sqlite_file() -> Path:
    return Path(connection.settings_dict["NAME"])


def _run(program: str, *arguments: str, into: bool = False) -> None:
    # As Django calls psql: the password goes through the environment, where no list of processes shows it.
    (_, *where, database), variables = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict, [])
    named = [f"--dbname={database}"] if into else [database]
    try:
        subprocess.run(  # noqa: S603  # ours, and no shell
            [program, *where, *arguments[:-1], *named, arguments[-1]]
            if into
            else [program, *where, *arguments, *named],
            env={**os.environ, **(variables or {})},
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise BackupError(f"{program} is not installed; it comes with PostgreSQL's client programs.") from None
    except subprocess.CalledProcessError as fault:
        raise BackupError(f"{program} failed: {fault.stderr.strip()}") from None
