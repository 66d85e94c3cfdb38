"""A private PostgreSQL on a free loopback port, from Debian's package, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _binaries() -> Path | None:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require() -> None:
    """Skips a test where PostgreSQL is not installed; in CI that is a failure."""
    if _binaries() is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed.")
        pytest.skip("PostgreSQL is not installed")


@contextmanager
def running() -> Iterator[str]:
    """A new, empty server; gives its ``DATABASE_URL``. Nothing is written for longer than the server runs."""
    binaries = _binaries()
    assert binaries is not None
    directory = Path(tempfile.mkdtemp(prefix="fonproxy-postgres-"))
    # PostgreSQL refuses to run as root.
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(directory, "postgres", "postgres")
    port, data = _free_port(), directory / "data"

    def run(*command: str | Path) -> None:
        subprocess.run([*as_user, *map(str, command)], check=True, stdout=subprocess.DEVNULL, cwd=directory)

    options = f"-p {port} -k {directory} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = binaries / "pg_ctl"
    try:
        run(binaries / "initdb", "-D", data, "-U", "fonproxy", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8")
        run(control, "-D", data, "-w", "-l", directory / "log", "-o", options, "start")
        try:
            run(binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "fonproxy", "fonproxy")
            yield f"postgres://fonproxy@127.0.0.1:{port}/fonproxy"
        finally:
            run(control, "-D", data, "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
