"""A consistent copy of the relational store while others write to it, and restoring it into an empty one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.backends.postgresql.client import DatabaseClient

from fonproxy import disk
from fonproxy.backup import BackupError

SQLITE_FILE: Final = "fonproxy.sqlite3"
POSTGRESQL_FILE: Final = "fonproxy.pgdump"


def dump(directory: Path) -> None:
    """Copies everything except sign-ins.

    After a restore everybody signs in again, and a leaked copy cannot be used to sign in.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(directory / SQLITE_FILE)])
        _empty_sign_ins(directory / SQLITE_FILE)
    else:
        without = [f"--exclude-table-data={table}" for table in settings.SIGN_IN_TABLES]
        _run("pg_dump", "--format=custom", *without, f"--file={directory / POSTGRESQL_FILE}")


def _empty_sign_ins(copy: Path) -> None:
    """Overwrites the rows, so that the file's free pages do not contain them either."""
    with closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA journal_mode = MEMORY")
        database.execute("PRAGMA secure_delete = ON")
        for table in settings.SIGN_IN_TABLES:
            database.execute(f"DELETE FROM {table}")
        database.commit()


def is_empty() -> bool:
    if connection.vendor == "sqlite":
        beside = [_sqlite_file().with_name(f"{SQLITE_FILE}-{kind}") for kind in ("wal", "shm", "journal")]
        # A write-ahead log left by a killed process would be replayed over the restored file.
        if any(file.exists() for file in beside):
            return False
        return not _sqlite_file().exists() or not _sqlite_file().stat().st_size
    with connection.cursor() as cursor:
        return not connection.introspection.table_names(cursor)


def load(directory: Path) -> None:
    """Fills the empty store completely or not at all."""
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
    # Like Django for psql: the password goes through the environment, which process lists do not show.
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
