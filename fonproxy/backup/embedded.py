"""Copying the embedded engine's directory while the engine runs, and restoring it.

The copy is what a killed process would have left, and opening it repairs it as after a kill: a finished part never
changes, appears by one rename, and stays for minutes after it was merged. Deduplication logs are the only files that
grow. They are read last: a token is logged before its part appears, so a part that was found has its token in the log,
and the repair drops a token whose part was not found. Merging continues during the copy; if a part disappears because
it was merged, the walk starts again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fonproxy import disk
from fonproxy.backup import BackupError
from fonproxy.clickhouse.embedded import lock
from fonproxy.clickhouse.errors import EngineUnavailable

FILE: Final = "clickhouse.tar"
# The directory of the links; anything with this name in the data directory is deleted.
DRAFT: Final = ".links-"
LOGS: Final = "deduplication_logs"
# Locked by the running engine: with a link to it, no second engine could open the snapshot.
STATUS: Final = "status"
ATTEMPTS: Final = 10


@contextmanager
def linked(path: Path) -> Iterator[Path]:
    """Hard links to the directory's current files, which are quick to create; the copy is made from them afterwards."""
    if is_empty(path):
        raise BackupError(f"{path} is empty: there is no ClickHouse yet.")
    with _alone(path.parent), tempfile.TemporaryDirectory(prefix=DRAFT, dir=path.parent) as name:
        for attempt in range(ATTEMPTS):
            draft = Path(name, str(attempt))
            try:
                link(path, draft)
            except FileNotFoundError:
                continue
            except OSError as fault:
                raise BackupError(f"{path} cannot be linked: {fault.strerror}.") from None
            yield draft
            return
        raise BackupError(f"{path} changes too quickly to be copied.")


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Allows one backup at a time and removes the links of a killed one."""
    with (data_dir / "backup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError("Another backup is running.") from None
        for left_behind in data_dir.glob(f"{DRAFT}*/"):
            shutil.rmtree(left_behind)
        yield


def link(path: Path, target: Path) -> None:
    """Links everything but unfinished parts; raises FileNotFoundError if a part disappears during the walk."""
    target.mkdir()
    logs = []
    for directory, directories, files in os.walk(path, onerror=_raise):
        at = target / Path(directory).relative_to(path)
        for name in [*directories]:
            source = Path(directory, name)
            if name.startswith(("tmp", "delete_tmp_")):
                directories.remove(name)
            elif source.is_symlink():
                (at / name).symlink_to(source.readlink())
            else:
                (at / name).mkdir()
        if at.name == LOGS:
            logs += [Path(directory, name) for name in files]
        else:
            for name in files:
                if name != STATUS:
                    os.link(Path(directory, name), at / name, follow_symlinks=False)
    for log in logs:
        shutil.copyfile(log, target / log.relative_to(path))


def _raise(fault: OSError) -> None:
    raise fault


def pack(snapshot: Path, directory: Path) -> None:
    with tarfile.open(directory / FILE, "w") as archive:
        archive.add(snapshot, arcname=".")


def is_empty(path: Path) -> bool:
    return not path.exists() or not any(path.iterdir())


def unpack(directory: Path, path: Path) -> None:
    """Fills the engine's directory completely or not at all; raises EngineUnavailable while a process uses it."""
    with _filling(path) as draft:
        draft.mkdir(mode=0o700)
        try:
            with tarfile.open(directory / FILE) as archive:
                archive.extractall(draft, filter="data")
        except tarfile.TarError as fault:
            raise BackupError(f"{directory / FILE} cannot be unpacked: {fault}.") from None


def copy(snapshot: Path, path: Path) -> None:
    """Fills another engine's directory from links, completely or not at all."""
    with _filling(path) as draft:
        shutil.copytree(snapshot, draft, symlinks=True)


@contextmanager
def _filling(path: Path) -> Iterator[Path]:
    """A directory to fill, which finally replaces the engine's empty one."""
    draft = path.with_name(f"{path.name}.restoring")
    with lock(path):
        shutil.rmtree(draft, ignore_errors=True)
        try:
            yield draft
            os.sync()  # one sync for thousands of files
            if path.exists():
                path.rmdir()
            draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        disk.flush(path.parent)


def is_locked(path: Path) -> bool:
    """Whether a process has the engine open."""
    try:
        lock(path).close()
    except EngineUnavailable:
        return True
    return False
