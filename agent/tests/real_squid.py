"""A real Squid on a free port, an origin for it, and clients that go through it."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from running import wait_for

SQUID = shutil.which("squid", path="/usr/sbin:/usr/bin")
CONFIGURATION = """
http_port 127.0.0.1:{port}
pid_filename {directory}/squid.pid
cache_log {directory}/cache.log
logformat fonproxy %ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %#un %Sh/%<a %mt %>st
access_log stdio:{directory}/access.log fonproxy
logfile_rotate 0
cache deny all
shutdown_lifetime 0
auth_param basic casesensitive on
{sign_in}
acl signed_in proxy_auth REQUIRED
http_access allow localhost manager
{rules}
http_access deny !signed_in
http_access allow signed_in
"""
ANY_PASSWORD = "auth_param basic program {directory}/any-password\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RealSquid:
    def __init__(self, directory: Path, sign_in: str = ANY_PASSWORD, rules: str = "") -> None:
        assert SQUID, "Squid is not installed: apt-get install squid"
        self.port = free_port()
        self.log = directory / "access.log"
        directory.chmod(0o777)  # Squid drops root
        helper = directory / "any-password"
        helper.write_text("#!/bin/sh\nwhile read -r line; do echo OK; done\n")
        helper.chmod(0o755)
        text = CONFIGURATION.format(port=self.port, directory=directory, sign_in=sign_in, rules=rules)
        (directory / "squid.conf").write_text(text.format(directory=directory))
        (directory / "squid.conf").chmod(0o644)
        self._command = [SQUID, "-f", str(directory / "squid.conf"), "-N", "-n", f"fonproxy{self.port}"]
        self._cache_log = directory / "cache.log"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._listens)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def reopen_log(self) -> None:
        """Call it after the log was renamed."""
        self._process.send_signal(signal.SIGUSR1)
        wait_for(self.log.exists)

    def _listens(self) -> bool:
        assert self._process.poll() is None, self._cache_log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def connect(self, target: int, login: str, password: str = "x") -> socket.socket:
        """A tunnel to a port of this machine; its first answer has not been read yet."""
        client = socket.create_connection(("127.0.0.1", self.port), 30)
        credentials = base64.b64encode(f"{login}:{password}".encode()).decode()
        client.sendall(
            f"CONNECT 127.0.0.1:{target} HTTP/1.1\r\nProxy-Authorization: Basic {credentials}\r\n\r\n".encode()
        )
        return client

    def status(self, target: int, login: str, password: str = "x") -> int:
        """The status with which opening a tunnel ends."""
        with self.connect(target, login, password) as client:
            return int(client.recv(4096).split()[1])


@contextmanager
def real_squid(sign_in: str = ANY_PASSWORD, rules: str = "") -> Iterator[RealSquid]:
    # Not below pytest's own directories, which only root may enter.
    with tempfile.TemporaryDirectory(prefix="fonproxy-squid-") as name:
        squid = RealSquid(Path(name), sign_in, rules)
        try:
            yield squid
        finally:
            squid.stop()


class ByteServer:
    """Sends as many bytes as each line that it reads requests."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # otherwise the thread would accept the next connection
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, client.makefile("rb") as wishes:
            for wish in wishes:
                client.sendall(os.urandom(int(wish)))


@contextmanager
def origin() -> Iterator[ByteServer]:
    running = ByteServer()
    try:
        yield running
    finally:
        running.close()


def read_answer(tunnel: socket.socket) -> None:
    """The proxy's answer to CONNECT, which must be a success."""
    assert tunnel.recv(4096).startswith(b"HTTP/1.1 200")


def transfer(tunnel: socket.socket, size: int) -> None:
    """Requests that many bytes from the origin and reads them."""
    tunnel.sendall(b"%d\n" % size)
    while size:
        size -= len(tunnel.recv(min(size, 2**16)))
