"""A private PostgreSQL server, from Debian's packages, for the length of a test or a benchmark."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import pytest

USER: Final = "postgres"


def newest_programs() -> Path | None:
    """The directory of the newest installed server's programs, None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


def required_programs() -> Path:
    """The same for a test, which is skipped if there is none; in CI that is a failure."""
    programs = newest_programs()
    if programs is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL is not installed")
    return programs


class Postgres:
    """A server that can be killed, stopped and started again on the same port and data; it never waits for the disk."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs, self._directory = programs, directory
        self.port = _free_port()
        if os.geteuid() == 0:
            shutil.chown(directory, USER)
        made = ("-D", self._data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8")
        _run(programs / "initdb", *made)
        self.start()

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def start(self) -> Self:
        options = f"-p {self.port} -k {self._directory} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self._directory / "log"
        _run(self._programs / "pg_ctl", "-D", self._data, "-w", "-l", log, "-o", options, "start")
        return self

    def pids(self) -> list[int]:
        """All its processes, the one that starts the others first."""
        first = int((self._data / "postmaster.pid").read_text().split()[0])
        return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def kill(self) -> None:
        pids = self.pids()
        for pid in pids:
            with suppress(ProcessLookupError):  # those that are left end on their own
                os.kill(pid, signal.SIGKILL)
        while any(_lives(pid) for pid in pids):
            time.sleep(0.05)

    def stop(self) -> None:
        _run(self._programs / "pg_ctl", "-D", self._data, "-m", "fast", "stop")


def _lives(pid: int) -> bool:
    """Whether it still holds memory and ports; a process that nobody has waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@contextmanager
def server(programs: Path) -> Iterator[Postgres]:
    """An empty server that trusts everyone on the loopback."""
    directory = Path(tempfile.mkdtemp(prefix="fonproxy-postgres-"))
    try:
        started = Postgres(programs, directory)
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(directory)


@contextmanager
def running(programs: Path) -> Iterator[int]:
    """The same for those who only need its port."""
    with server(programs) as started:
        yield started.port


def _run(*command: str | Path) -> None:
    """As the server's own user: it refuses to be root."""
    user = pwd.getpwnam(USER) if os.geteuid() == 0 else None
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
