"""A real Dante on a free port, with sign-in by PAM and RADIUS as ``ops/dante`` has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.gateway.freeradius import PATIENCE_SECONDS, SECRET, FreeRadius
from tests.serving import ROOT, free_port
from tests.waiting import wait_for

DANTED = shutil.which("danted", path="/usr/sbin:/usr/bin")
# PAM reads services from nowhere else.
SERVICES = Path("/etc/pam.d")


def _replaced(path: str, **places: str) -> str:
    """A file of ``ops/dante`` with this machine's paths instead of an operator's."""
    text = (ROOT / "ops/dante" / path).read_text()
    for written, used in places.items():
        assert written in text, (path, written)
        text = text.replace(written, used)
    return text


class Dante:
    def __init__(self, directory: Path, radius: FreeRadius) -> None:
        is_complete = DANTED and next(Path("/").glob("usr/lib/*/security/pam_radius_auth.so"), None)
        assert is_complete, "Dante is not installed: apt-get install dante-server libpam-radius-auth"
        assert DANTED
        self.port = free_port()
        self.log = directory / "danted.log"
        self.service = SERVICES / f"fonproxy-danted-{os.getpid()}"
        servers = directory / "pam_radius.conf"
        servers.write_text(f"127.0.0.1:{radius.ports['auth']} {SECRET} {PATIENCE_SECONDS}\n")
        servers.chmod(0o600)
        self.service.write_text(_replaced("pam", **{"/etc/pam_radius_auth.conf": str(servers)}))
        (directory / "danted.conf").write_text(
            _replaced(
                "danted.conf",
                **{
                    "/var/log/danted.log": str(self.log),
                    "internal: eth0 port = 1080": f"internal: 127.0.0.1 port = {self.port}",
                    "external: eth0": "external: lo",
                    "pam.servicename: danted": f"pam.servicename: {self.service.name}",
                },
            )
        )
        command = [DANTED, "-f", str(directory / "danted.conf"), "-p", str(directory / "pid"), "-N", "1"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.log.exists() and "running" in self.log.read_text())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self.service.unlink()

    def get(self, url: str, login: str, password: str) -> tuple[int, int, int]:
        """The status, 0 if Dante refused, and the bytes that curl sent and received."""
        told = "%{http_code} %{size_request} %{size_header} %{size_download}"
        proxy = ["--proxy", f"socks5h://127.0.0.1:{self.port}", "--proxy-user", f"{login}:{password}"]
        command = ["curl", "-s", "-o", "/dev/null", "-w", told, *proxy, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        status, sent, header, body = map(int, done.stdout.split())
        return status, sent, header + body


@contextmanager
def dante(radius: FreeRadius) -> Iterator[Dante]:
    with tempfile.TemporaryDirectory(prefix="fonproxy-dante-") as name:
        running = Dante(Path(name), radius)
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                running.stop()
