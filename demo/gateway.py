"""A gateway for the demo: a real Squid with the agent, connected to a FonProxy on this machine.

The configuration is that of ``ops/squid`` with this machine's paths and ports, so the demo shows what an operator
installs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import msgspec
from django.conf import settings

from accounts.models import Scope, User
from demo import accounts
from fonproxy.units import MIB
from orders import passwords
from orders import services as order_services
from orders.models import Network, Order, Product, ProxyType

LOGIN: Final = "trial"
LIMIT_BYTES: Final = 20 * MIB
ANSWER_BYTES: Final = 5 * MIB
ORDER_NAME: Final = "Trial 20 MB"
SQUID: Final = shutil.which("squid", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
SQUIDS_USER: Final = "proxy"
AGENT_COMMANDS: Final = ("ship", "watch", "enforce")

# Settings missing from ops/squid/squid.conf, because an installed Squid has them from its package.
OWN_PLACES: Final = """
pid_filename {directory}/squid.pid
cache_log {directory}/cache.log
coredump_dir {directory}
cache deny all
logfile_rotate 0
shutdown_lifetime 1 second
"""
HELPER: Final = """#!/bin/sh
export PYTHONPATH={packages}
exec {python} -m fonproxy_agent "$@" 2>>{directory}/helpers.log
"""
AGENT_CONFIGURATION: Final = """\
url = "{url}"
key_file = "{directory}/key"
worker = "demo-gateway"

[ship]
format = "squid"
file = "{directory}/access.log"
follow = true
watched = true

[squid]
manager = "http://127.0.0.1:{port}"

[enforce]
stopped_file = "{directory}/stopped"
end_connections = "{end_connections}"

[watch]
database = "{directory}/sessions.sqlite3"
interval_seconds = 2.0

[sign_in]
database = "{directory}/helpers/logins.sqlite3"
"""


class CannotStart(Exception):
    """This machine lacks something; the message says what."""


@dataclass(frozen=True, slots=True)
class DemoGateway:
    """Squid and the agent, configured in their own directory."""

    directory: Path
    port: int
    ends_connections: bool

    def commands(self) -> Mapping[str, list[str]]:
        """The processes by name, in the order in which they start."""
        configuration = ["--config", str(self.directory / "agent.toml")]
        agent = [sys.executable, "-m", "fonproxy_agent"]
        squid = [str(SQUID), "-N", "-f", str(self.directory / "squid.conf"), "-n", f"fonproxy{self.port}"]
        return {"squid": squid} | {name: [*agent, name, *configuration] for name in AGENT_COMMANDS}

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": _packages()}

    def write_key(self, key: str) -> None:
        """Writes the agent's API key, which exists only once FonProxy has started."""
        _write(self.directory / "key", key, mode=0o600)


def configure(directory: Path, *, url: str, port: int) -> DemoGateway:
    """Writes the configuration of both. Raises CannotStart without Squid, or without a Python that its user may run."""
    if SQUID is None:
        raise CannotStart("Squid is not installed. On Debian and Ubuntu: apt-get install squid")
    is_root = os.geteuid() == 0
    python = _python_for_squid() if is_root else sys.executable
    helpers = directory / "helpers"
    helpers.mkdir()
    if is_root:
        for place in (directory, helpers):
            shutil.chown(place, SQUIDS_USER)
    ends_connections = is_root and shutil.which("ss") is not None
    text = AGENT_CONFIGURATION.format(
        url=url, directory=directory, port=port, end_connections="ss" if ends_connections else "no"
    )
    _write(directory / "agent.toml", text)
    _write(
        directory / "agent",
        HELPER.format(packages=_packages(), python=python, directory=directory),
        mode=0o755,
    )
    _write(directory / "squid.conf", _squid_conf(directory, port))
    return DemoGateway(directory, port, ends_connections)


def _squid_conf(directory: Path, port: int) -> str:
    text = (settings.BASE_DIR / "ops/squid/squid.conf").read_text()
    for shipped, ours in {
        "http_port 3128": f"http_port 127.0.0.1:{port}",
        "/opt/fonproxy-agent/bin/fonproxy-agent": str(directory / "agent"),
        "/etc/fonproxy-agent/agent.toml": str(directory / "agent.toml"),
        "/etc/fonproxy-agent/pages": str(_pages(directory)),
        "/var/log/squid/access.log": str(directory / "access.log"),
    }.items():
        if shipped not in text:
            raise CannotStart(f"ops/squid/squid.conf does not contain {shipped!r}.")
        text = text.replace(shipped, ours)
    return text + OWN_PLACES.format(directory=directory)


def _pages(directory: Path) -> Path:
    """Copies the pages of refused requests to where Squid's user may read them."""
    pages = directory / "pages"
    pages.mkdir(mode=0o755)
    for page in (settings.BASE_DIR / "ops/squid/pages").iterdir():
        _write(pages / page.name, page.read_text())
    if os.geteuid() == 0:
        shutil.chown(pages, SQUIDS_USER)
    return pages


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file that Squid's user can read, because Squid drops root before reading it."""
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    if os.geteuid() == 0:
        shutil.chown(path, SQUIDS_USER)


def _packages() -> str:
    """The paths of the agent and of the one library with C code that it imports."""
    return f"{settings.BASE_DIR / 'agent'}:{Path(msgspec.__file__).parent.parent}"


def _python_for_squid() -> str:
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    for python in (sys.executable, system):
        check = [python, "-c", "import fonproxy_agent.cli"]
        try:
            environment = {"PYTHONPATH": _packages()}
            subprocess.run(check, user=SQUIDS_USER, group=SQUIDS_USER, env=environment, check=True, capture_output=True)  # noqa: S603  # our own command
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    raise CannotStart(
        f"Squid drops root, and its user {SQUIDS_USER!r} may not run {sys.executable}. Start this as another user, "
        f"or install {system}."
    )


def make_order(now: datetime) -> str:
    """A small order of the demo customer alice with a login, renewed if it is used up; returns the password."""
    password = accounts.derived("password")[:12]
    product, _ = Product.objects.get_or_create(
        name=ORDER_NAME, defaults={"proxy_type": ProxyType.RESIDENTIAL_GIGA, "network": Network.RESIDENTIAL}
    )
    expires_at = now + timedelta(days=30)
    order = Order.objects.filter(user__username="alice", product=product).first()
    if order is None:
        order = order_services.buy(
            user=User.objects.get(username="alice"),
            product=product,
            name=ORDER_NAME,
            limit_bytes=LIMIT_BYTES,
            started_at=now,
            expires_at=expires_at,
            now=now,
        )
        order_services.set_logins(order, {LOGIN: {"verifier": passwords.verifier_of(password)}}, now)
    else:
        order_services.renew(
            order, reference=None, author="demo", now=now, expires_at=expires_at, note="the demo starts again"
        )
    return password


def make_key(now: datetime) -> str:
    """A key for the agent, of the demo's staff account."""
    admin = User.objects.get(username="admin")
    return accounts.key(admin, "demo gateway", [Scope.INGEST, Scope.GATEWAY], now)


class _Website(BaseHTTPRequestHandler):
    """Answers every request with the same number of zeros."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(ANSWER_BYTES))
        self.end_headers()
        self.wfile.write(bytes(ANSWER_BYTES))

    def log_message(self, format: str, *args: object) -> None:
        """Disabled, because Squid's log is the relevant one."""


def website() -> ThreadingHTTPServer:
    """A website on a free port of this machine, so that the demo needs no network."""
    return ThreadingHTTPServer(("127.0.0.1", 0), _Website)
