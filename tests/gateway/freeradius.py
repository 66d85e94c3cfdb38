"""A real FreeRADIUS on free ports, with the configuration of ``ops/freeradius``, and radclient."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.serving import ROOT, free_port

FREERADIUS = shutil.which("freeradius", path="/usr/sbin:/usr/bin")
SECRET = "testing123"
START_SECONDS = 300
# For a busy machine: for each packet and for FreeRADIUS's requests to FonProxy.
PATIENCE_SECONDS = 90
CONFIGURATION = """
prefix = /usr
logdir = {directory}
run_dir = {directory}
libdir = /usr/lib/freeradius
pidfile = {directory}/freeradius.pid
max_request_time = {patience}
log {{
    destination = stdout
}}
thread pool {{
    start_servers = 2
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 2
}}
client loopback {{
    ipaddr = 127.0.0.1
    secret = {secret}
}}
modules {{
    $INCLUDE {directory}/rest
}}
$INCLUDE {directory}/site
"""

# Acknowledges every Disconnect-Request, in place of a proxy server that accepts them.
RECEIVER = """
always ok {
    rcode = ok
}
"""
RECEIVER_SITE = """
server coa {{
    listen {{
        type = coa
        ipaddr = 127.0.0.1
        port = {port}
    }}
    recv-coa {{
        ok
    }}
    send-coa {{
    }}
}}
"""


class FreeRadius:
    def __init__(self, directory: Path, url: str, key: str) -> None:
        self.ports = {"auth": free_port(), "acct": free_port()}
        site = (ROOT / "ops/freeradius/site").read_text()
        site = site.replace("1812", str(self.ports["auth"])).replace("1813", str(self.ports["acct"]))
        (directory / "site").write_text(site.replace("ipaddr = *", "ipaddr = 127.0.0.1"))
        rest = re.sub(r"timeout = [\d.]+", f"timeout = {PATIENCE_SECONDS}", (ROOT / "ops/freeradius/rest").read_text())
        (directory / "rest").write_text(rest)
        (directory / "radiusd.conf").write_text(
            CONFIGURATION.format(directory=directory, secret=SECRET, patience=PATIENCE_SECONDS)
        )
        self.log = directory / "log"
        self.process = _started(directory, self.log, FONPROXY_URL=url, FONPROXY_KEY=key)

    def sign_in(self, login: str, password: str, **attributes: object) -> tuple[bool, str]:
        """Whether the login was accepted, and what radclient printed of the reply."""
        return self._send("auth", {"User-Name": login, "User-Password": password, **attributes})

    def account(self, *, seconds: int = PATIENCE_SECONDS, **attributes: object) -> bool:
        """Whether the Accounting-Request was answered."""
        return self._send("acct", attributes, seconds)[0]

    def _send(self, kind: str, attributes: dict[str, object], seconds: int = PATIENCE_SECONDS) -> tuple[bool, str]:
        packet = ", ".join(f'{name.replace("_", "-")} = "{value}"' for name, value in attributes.items())
        command = ["radclient", "-x", "-r", "1", "-t", str(seconds), f"127.0.0.1:{self.ports[kind]}", kind, SECRET]
        done = subprocess.run(command, input=packet, capture_output=True, text=True, timeout=2 * seconds, check=False)
        return done.returncode == 0, done.stdout + done.stderr


def _started(directory: Path, path: Path, **variables: str) -> subprocess.Popen[bytes]:
    assert FREERADIUS, "FreeRADIUS is not installed: apt-get install freeradius freeradius-rest freeradius-utils"
    with path.open("w") as log:
        process = subprocess.Popen(
            [FREERADIUS, "-f", "-xx", "-d", str(directory), "-n", "radiusd"],
            env={**os.environ, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + START_SECONDS
    while "Ready to process requests" not in path.read_text():
        assert process.poll() is None, path.read_text()
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.05)
    return process


@contextmanager
def disconnect_receiver() -> Iterator[tuple[int, Path]]:
    """The port of a FreeRADIUS that acknowledges Disconnect-Requests, and its log, which shows what it received."""
    with tempfile.TemporaryDirectory(prefix="fonproxy-radius-") as name:
        directory, port = Path(name), free_port()
        (directory / "rest").write_text(RECEIVER)
        (directory / "site").write_text(RECEIVER_SITE.format(port=port))
        (directory / "radiusd.conf").write_text(
            CONFIGURATION.format(directory=directory, secret=SECRET, patience=PATIENCE_SECONDS)
        )
        process = _started(directory, directory / "log")
        try:
            yield port, directory / "log"
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def freeradius(url: str, key: str) -> Iterator[FreeRadius]:
    with tempfile.TemporaryDirectory(prefix="fonproxy-radius-") as name:
        radius = FreeRadius(Path(name), url, key)
        try:
            yield radius
        finally:
            radius.process.terminate()
            radius.process.wait(30)
