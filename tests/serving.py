"""A real ``manage.py serve`` in a process of its own, called over HTTP as any client calls it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

ROOT = Path(__file__).resolve().parent.parent
# Limits for a loaded machine, not expectations.
START_SECONDS = 300.0
STOP_SECONDS = 120.0
ANSWER_SECONDS = 120.0
LISTENS = re.compile(r"listens on http://127\.0\.0\.1:(\d+)")

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    @classmethod
    def read_from(cls, connection: socket.socket, method: str = "GET") -> Self:
        """The next response on this connection; interim ones such as 100 are left to the caller."""
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        with response:
            return cls(response.status, response.headers, response.read())


@dataclass(frozen=True)
class Ended:
    code: int
    logs: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """This process's environment with only these FonProxy settings; on a server, with a database for the directory.

    The relational store is in the directory, whichever one this process uses.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FONPROXY_", "DATABASE_URL"))}
    if server := os.environ.get("CLICKHOUSE_URL"):
        kept["CLICKHOUSE_URL"] = f"{server}_{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"
    ours = {
        "FONPROXY_STAFF_SECOND_FACTOR": "false",  # tests sign staff in with only the password
        "FONPROXY_GEO_DUMMY": "true",
    }
    return kept | ours | {"FONPROXY_DATA_DIR": str(data_dir), "DJANGO_SETTINGS_MODULE": "fonproxy.settings"} | variables


def manage(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a management command to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(data_dir, **variables),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


# The demo's people, orders and keys, without its traffic; and the tables of the engine.
ACCOUNTS = """
import json, django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from demo.accounts import make_accounts
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
call_command("migrate", verbosity=0)
if settings.CLICKHOUSE is None:
    migrator.migrate(get_client())
    close_client()
made = make_accounts(timezone.now())
print(json.dumps({"READ_KEY": made.read_key, "INGEST_KEY": made.ingest_key, "PASSWORD": made.password}))
"""


@cache
def _accounts() -> tempfile.TemporaryDirectory[str]:
    """A data directory to copy, so that passwords are hashed and stores migrated once instead of for every server."""
    directory = tempfile.TemporaryDirectory(prefix="fonproxy-accounts-")
    with Path(directory.name, "keys.json").open("wb") as keys:
        subprocess.run(
            [sys.executable, "-c", ACCOUNTS], cwd=ROOT, env=environment(Path(directory.name)), stdout=keys, check=True
        )
    return directory


def with_accounts(data_dir: Path) -> None:
    """Fills a data directory with the demo's accounts and migrated stores."""
    shutil.copytree(_accounts().name, data_dir, symlinks=True, dirs_exist_ok=True)


class Server:
    """Listens on a free loopback port, over a data directory that gets the demo accounts if it is empty."""

    directory = ROOT

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.data_dir = data_dir
        self.port = 0  # any free port; it prints which, so that two processes never assume the same one
        self._variables = variables
        if not any(data_dir.iterdir()):
            with_accounts(data_dir)
        self.log_file = data_dir / "stderr.log"
        self.start()

    def start(self) -> Self:
        """Starts it, also after it has ended: on the same port and data."""
        told = self.data_dir / "stdout.log"
        with self.log_file.open("ab") as log, told.open("wb") as out:
            self.process = subprocess.Popen(
                [*self.command(), "serve", "--port", str(self.port)],
                cwd=self.directory,
                env=environment(self.data_dir, **self._variables),
                stdout=out,
                stderr=log,
            )
        try:
            self.port = int(self._wait_for(lambda: LISTENS.search(told.read_text()))[1])
            self._wait_for(self._is_ready)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def command(self) -> list[str]:
        """The command line that runs a management command in ``directory``."""
        return [sys.executable, "manage.py"]

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def keys(self) -> dict[str, str]:
        """``READ_KEY`` reads as alice, ``INGEST_KEY`` pushes as a proxy worker; ``PASSWORD`` is everybody's."""
        keys: dict[str, str] = json.loads((self.data_dir / "keys.json").read_text())
        return keys

    def logs(self) -> str:
        return self.log_file.read_text()

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        self.process.send_signal(number)
        try:
            return Ended(self.process.wait(STOP_SECONDS), self.logs())
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    # --- calls ------------------------------------------------------------------------------------------------------

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """A read as alice."""
        return self.call("GET", path, None, **{"x_api_key": self.keys["READ_KEY"]} | headers)

    def post(self, body: bytes, **headers: str) -> Answer:
        """A push as a proxy worker."""
        given = {"x_api_key": self.keys["INGEST_KEY"], "Content_Type": "application/json"} | headers
        return self.call("POST", "/analytics/ingest", body, **given)

    def push(self, *rows: dict[str, Any], **headers: str) -> Answer:
        return self.post(body_of(*rows), **headers)

    def requests_of_alice(self, domain: str = "") -> int:
        """How many of alice's requests have been counted, to this domain if one is given."""
        now = datetime.now(UTC)
        day = timedelta(days=1)
        path = f"/analytics/requests?from={(now - 2 * day).date()}&to={(now + day).date()}&domain={domain}"
        answer = self.get(path)
        assert answer.status == 200, answer.body
        return sum(int(point["total_count"]) for point in answer.json["data"])

    def wait_until_readable(self) -> None:
        """Waits until every row accepted so far is in the engine; ``Prefer: respond-async`` is answered earlier."""
        with closing(sqlite3.connect(self.data_dir / "fonproxy.sqlite3", timeout=START_SECONDS)) as journal:
            waiting = "SELECT 1 FROM analytics_ingestbatch WHERE settled_at IS NULL"
            self._wait_for(lambda: journal.execute(waiting).fetchone() is None)

    def raw(self, sent: bytes) -> bytes:
        """Sends these bytes; returns everything received until the server hangs up."""
        with self.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(2**16), b""))

    def _is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz").status == 200
        except OSError:
            return False

    def _wait_for(self, what: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"The server ended while starting:\n{self.logs()}"
            if found := what():
                return found
            time.sleep(0.05)
        raise AssertionError(f"The server did not get there in time:\n{self.logs()}")


@contextmanager
def serving(**variables: str) -> Iterator[Server]:
    """A server during a block, however the block ends."""
    with tempfile.TemporaryDirectory(prefix="fonproxy-serve-") as name:
        server = Server(Path(name), **variables)
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()


def row(**changes: Any) -> dict[str, Any]:
    """A row of alice's from an hour ago: one request."""
    ts = datetime.now(UTC) - timedelta(hours=1)
    return {"ts": ts.strftime("%Y-%m-%d %H:%M:%S"), "proxy_user": "alice", "count": 1, **changes}


def body_of(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"logs": rows}).encode()
