"""The manifest of a backup: its stores, their schemas, and the checksum of every file.

It is written last. A directory without it, or with another file than it names, is not a backup.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from fonproxy.backup import BackupError

NAME: Final = "manifest.json"
FORMAT: Final = 1
SECRET_KEY: Final = "FONPROXY_SECRET_KEY"  # noqa: S105  # its name
ID_SALT: Final = "FONPROXY_ID_SALT"


class Manifest(msgspec.Struct, kw_only=True):
    """``server_backup`` names the copy of a ClickHouse server on its own disk; an embedded engine's is among the files.

    ``secrets`` are fingerprints and ``peppers`` are names: they identify the secrets on which the stores depend,
    without revealing them.
    """

    format: int = FORMAT
    made_at: str
    database: str
    migrations: list[str]
    clickhouse: str
    server_backup: str | None = None
    secrets: dict[str, str]
    peppers: list[str]
    files: dict[str, str] = {}


def engine_kind() -> str:
    return "server" if settings.CLICKHOUSE else "embedded"


def describe(made_at: str, peppers: Iterable[str]) -> Manifest:
    """A manifest of this installation's stores, without files."""
    applied = sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())
    return Manifest(
        made_at=made_at,
        database=connection.vendor,
        migrations=applied,
        clickhouse=engine_kind(),
        secrets=fingerprints(),
        peppers=sorted(peppers),
    )


def fingerprints() -> dict[str, str]:
    """Fingerprints of the secrets other than peppers."""
    kept = {SECRET_KEY: settings.SECRET_KEY, ID_SALT: settings.ID_SALT}
    return {name: hmac.new(value.encode(), b"backup", hashlib.sha256).hexdigest()[:8] for name, value in kept.items()}


def write(directory: Path, manifest: Manifest) -> None:
    """Adds every file in the directory to the manifest."""
    manifest.files = {path.name: _checksum(path) for path in sorted(directory.iterdir())}
    (directory / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def read(directory: Path) -> Manifest:
    """The manifest, after verifying every file; raises BackupError."""
    try:
        manifest = msgspec.json.decode((directory / NAME).read_bytes(), type=Manifest)
        damaged = [name for name, checksum in manifest.files.items() if _checksum(directory / name) != checksum]
    except FileNotFoundError as fault:
        raise BackupError(f"{directory} is not a complete backup: {Path(fault.filename).name} is missing.") from None
    except (OSError, msgspec.MsgspecError) as fault:
        raise BackupError(f"{directory} cannot be read: {fault}.") from None
    if damaged:
        raise BackupError(f"{directory} is damaged: {', '.join(damaged)} differs from its checksum.")
    return manifest


def refuse_unfit(manifest: Manifest) -> None:
    """Raises BackupError when this installation cannot restore the backup."""
    if manifest.format != FORMAT:
        raise BackupError(f"The backup is of format {manifest.format}; this program reads format {FORMAT}.")
    made_of = (manifest.database, manifest.clickhouse)
    if made_of != (connection.vendor, engine_kind()):
        raise BackupError(
            f"The backup is of {made_of[0]} and {made_of[1]} ClickHouse, and this installation has"
            f" {connection.vendor} and {engine_kind()} ClickHouse: set DATABASE_URL and CLICKHOUSE_URL accordingly."
        )
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations or ()}
    if unknown := sorted(set(manifest.migrations) - known):
        raise BackupError(f"The backup is of a newer version, with {', '.join(unknown)}.")


def has_other(secret: str, manifest: Manifest) -> bool:
    """Whether the backup was made with another secret of this name."""
    return manifest.secrets.get(secret) != fingerprints()[secret]


def refuse_without_secrets(manifest: Manifest, peppers: Iterable[str]) -> None:
    """Raises BackupError when ids or keys would be invalid under the configured salt and peppers."""
    missing = []
    if has_other(ID_SALT, manifest):
        missing.append(f"published ids depend on another {ID_SALT}")
    if unknown := sorted(set(manifest.peppers) - set(peppers)):
        missing.append(f"keys depend on a pepper that FONPROXY_KEY_PEPPERS does not have ({', '.join(unknown)})")
    if missing:
        raise BackupError(
            f"Secrets of the backup are missing: {'; '.join(missing)}. Set them as they were when it was made;"
            f" what was not set then came from {SECRET_KEY}, or from the file secret_key in the data directory."
        )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
