"""A copy of the embedded engine's directory, taken from outside while the engine runs, and its way back.

It copies what a killed process would have left, and opening it repairs it as after a kill: a finished part never
changes, appears by one rename, and stays for minutes after it was merged. Deduplication logs are the only files that
grow. They are read last: a token is noted before its part appears, so a part that was found has its token in the log,
and a token whose part was not found is dropped by the repair. Merging goes on meanwhile; a part that disappears was
merged into another, and then the walk begins anew.
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

from fonproxy.backup import BackupError, disk
from fonproxy.clickhouse.embedded import lock

FILE: Final = "clickhouse.tar"
# Of the links; whatever is called so in the data directory is taken away.
DRAFT: Final = ".links-"
LOGS: Final = "deduplication_logs"
ATTEMPTS: Final = 10


@contextmanager
def linked(path: Path) -> Iterator[Path]:
    """The directory as it is now, as links beside it: taking them is quick, and the copy can be made at leisure."""
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
    """One backup at a time, which takes away the links of one that was killed."""
    with (data_dir / "backup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError("Another backup is being taken.") from None
        for left_behind in data_dir.glob(f"{DRAFT}*/"):
            shutil.rmtree(left_behind)
        yield


def link(path: Path, target: Path) -> None:
    """Links everything but unfinished parts; raises FileNotFoundError when a part disappeared on the way."""
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
    """Fills the engine's directory, wholly or not at all; raises EngineUnavailable while a process has it."""
    draft = path.with_name(f"{path.name}.restoring")
    with lock(path):
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(mode=0o700)
            with tarfile.open(directory / FILE) as archive:
                archive.extractall(draft, filter="data")
            os.sync()  # thousands of files, at once
            if path.exists():
                path.rmdir()
            draft.rename(path)
        except tarfile.TarError as fault:
            raise BackupError(f"{directory / FILE} cannot be unpacked: {fault}.") from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        disk.flush(path.parent)
