"""A PostgreSQL server of one's own, from Debian's packages, for the length of a test or a benchmark."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

USER: Final = "postgres"


def newest_programs() -> Path | None:
    """Where the newest installed server's programs are, None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


def required_programs() -> Path:
    """The same for a test, which is skipped where there is none; in CI that is a failure."""
    programs = newest_programs()
    if programs is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL is not installed")
    return programs


@contextmanager
def running(programs: Path) -> Iterator[int]:
    """Starts an empty server that trusts everyone on the loopback and never waits for the disk; yields its port."""
    directory = Path(tempfile.mkdtemp(prefix="fonproxy-postgres-"))
    data = directory / "data"
    port = _free_port()
    options = f"-p {port} -k {directory} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, USER)
        _run(programs / "initdb", "-D", data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8")
        _run(programs / "pg_ctl", "-D", data, "-w", "-l", directory / "log", "-o", options, "start")
        try:
            yield port
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "fast", "stop")
    finally:
        shutil.rmtree(directory)


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
