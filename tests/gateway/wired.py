"""A real Squid and the agent with a real FonProxy, set up as ``make gateway`` does, and clients that count."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, NamedTuple

from demo import gateway
from tests.serving import ROOT, Server, free_port, serving
from tests.waiting import wait_for

PASSWORD = "correct-horse-1"
LONG_SECONDS = 300.0
# So that a test need not wait for a changed password.
FASTER = {"credentialsttl 1 minute": "credentialsttl 2 seconds"}


class Moved(NamedTuple):
    """Requests, and bytes under FonProxy's names: ``sent`` came from the customer."""

    requests: int = 0
    sent: int = 0
    received: int = 0

    def plus(self, other: Moved) -> Moved:
        return Moved(self.requests + other.requests, self.sent + other.sent, self.received + other.received)


class Provider:
    """FonProxy as the provider's own systems use it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._token = ""
        self._token = self.ask("POST", "/auth/token", username="admin", password=server.keys["PASSWORD"])["access"]
        key = self.ask("POST", "/api-keys", name="gateway", scopes=["gateway", "ingest"])
        self.key: str = key["apiKey"]["key"]

    def ask(self, method: str, path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        sent = json.dumps(body).encode() if method != "GET" else None
        answer = self.server.call(method, path, sent, Content_Type="application/json", **headers)
        assert answer.status in (200, 201), answer.body
        return answer.json

    def sell(self, name: str, limit: int | None = None, **settings: Any) -> None:
        """Sells a customer an order with a login, all of that name; a second call with other settings changes the
        login.
        """
        self.ask("PUT", f"/provisioning/users/{name}")
        self.ask(
            "PUT",
            f"/provisioning/orders/{name}",
            user=name,
            name="Residential",
            proxyType="residential-giga",
            trafficLimitBytes=limit,
            startsAt="2026-01-01T00:00:00Z",
            expiresAt="2099-01-01T00:00:00Z",
            proxyUsers=[{"login": name, "password": PASSWORD, **settings}],
        )

    def act(self, order: str, action: str, **body: Any) -> None:
        self.ask("POST", f"/provisioning/orders/{order}/{action}", **body)

    def usage(self) -> dict[str, Moved]:
        """Of every login that was used."""
        now = datetime.now(UTC)
        days = f"from={(now - timedelta(days=1)).date()}&to={(now + timedelta(days=1)).date()}"
        rows = self.ask("GET", f"/provisioning/usage?group=proxyUser&{days}")["usage"]
        return {row["proxyUser"]: Moved(row["requests"], row["bytesSent"], row["bytesReceived"]) for row in rows}


class WiredGateway:
    """Squid, ``ship``, ``watch`` and ``enforce``, each a process."""

    def __init__(self, directory: Path, provider: Provider) -> None:
        self.directory = directory
        self._wired = gateway.configure(directory, url=provider.server.url, port=free_port())
        self._wired.write_key(provider.key)
        configuration = directory / "squid.conf"
        text = configuration.read_text()
        for written, used in FASTER.items():
            assert written in text
            text = text.replace(written, used)
        configuration.write_text(text)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in self._wired.commands():
            self.start(name)

    def start(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._wired.commands()[name], env=self._wired.environment(), stdout=log, stderr=log
            )
        if name == "squid":
            wait_for(self._listens)

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        self._processes[name].send_signal(number)
        self._processes.pop(name).wait(LONG_SECONDS)

    def stop_all(self) -> None:
        for name in [*self._processes]:
            self.stop(name)

    def kill(self, name: str) -> None:
        """Kills it as the kernel does, and starts it again as systemd does."""
        self.stop(name, signal.SIGKILL)
        self.start(name)

    def rotate_log(self, suffix: str) -> None:
        log = self.directory / "access.log"
        os.rename(log, f"{log}.{suffix}")
        self._processes["squid"].send_signal(signal.SIGUSR1)
        wait_for(log.exists)

    def _listens(self) -> bool:
        assert self._processes["squid"].poll() is None, (self.directory / "cache.log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._wired.port)):
            return True
        return False

    # --- clients ----------------------------------------------------------------------------------------------------

    def get(self, url: str, login: str, password: str = PASSWORD) -> tuple[int, str, Moved]:
        """The status, the header that gives the reason of a refusal, and what curl counted."""
        proxy = f"http://{login}:{password}@127.0.0.1:{self._wired.port}"
        told = "%{http_code} %{size_request} %{size_header} %{size_download}"
        command = ["curl", "-s", "-D", "-", "-o", "/dev/null", "-w", f"\n{told}", "-x", proxy, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        *headers, last = done.stdout.splitlines()
        status, sent, header, body = map(int, last.split())
        why = next((line for line in headers if line.startswith("Proxy-Status: ")), "")
        return status, why.rpartition("details=")[2], Moved(1, sent, header + body)

    def tunnel(self, port: int, login: str, password: str = PASSWORD) -> Tunnel:
        return Tunnel(self._wired.port, port, login, password)


class Tunnel:
    """A tunnel to a port of this machine. ``sent`` and ``received`` are counted at the client's socket."""

    def __init__(self, proxy: int, port: int, login: str, password: str) -> None:
        self.login = login
        self.sent = self.received = 0
        self._socket = socket.create_connection(("127.0.0.1", proxy), LONG_SECONDS)
        credentials = base64.b64encode(f"{login}:{password}".encode()).decode()
        self._send(
            f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
        )
        answer = self._receive(2**16)
        self.status = int(answer.split()[1])

    def transfer(self, size: int) -> None:
        """Requests that many bytes from the origin and reads them."""
        self._send(f"{size}\n")
        while size:
            size -= len(self._receive(min(size, 2**16)))

    def read_until_ended(self) -> None:
        with suppress(ConnectionResetError):
            while self._receive(2**16):
                pass

    def close(self) -> None:
        self._socket.close()

    def _send(self, text: str) -> None:
        self._socket.sendall(text.encode())
        self.sent += len(text)

    def _receive(self, size: int) -> bytes:
        piece = self._socket.recv(size)
        self.received += len(piece)
        return piece


class Accounts:
    """What each login's clients have transferred, by their own count."""

    def __init__(self) -> None:
        self.moved: dict[str, Moved] = {}

    def add(self, login: str, moved: Moved) -> None:
        self.moved[login] = self.moved.get(login, Moved()).plus(moved)

    def close(self, tunnel: Tunnel) -> None:
        tunnel.close()
        self.add(tunnel.login, Moved(1, tunnel.sent, tunnel.received))


class _Origin(StreamRequestHandler):
    """Sends as many bytes as each line requests; to ``GET /SIZE`` it answers as an HTTP server does."""

    def handle(self) -> None:
        with suppress(OSError):
            for line in self.rfile:
                words = line.split()
                if words[0] != b"GET":
                    self.wfile.write(os.urandom(int(words[0])))
                    continue
                size = int(words[1][1:])
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size)
                self.wfile.write(os.urandom(size))
                return


class _Server(ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def origin() -> Iterator[int]:
    """The port of a server to request through the proxy."""
    with _Server(("127.0.0.1", 0), _Origin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def shipping(*arguments: str, key: str) -> Iterator[Callable[[], str]]:
    """Runs ``fonproxy-agent ship`` during a block; yields a function that ends it and returns its output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fonproxy_agent", "ship", *arguments],
        env={"PYTHONPATH": str(ROOT / "agent"), "FONPROXY_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def stop() -> str:
        process.terminate()
        return process.communicate(timeout=LONG_SECONDS)[0]

    try:
        yield stop
    finally:
        process.kill()
        process.communicate()


@contextmanager
def wired() -> Iterator[tuple[Provider, WiredGateway]]:
    # Not below pytest's own directories, which only root may enter.
    with serving(FONPROXY_THROTTLE_READ="1000000/min") as server, tempfile.TemporaryDirectory() as name:
        provider = Provider(server)
        running = WiredGateway(Path(name), provider)
        try:
            yield provider, running
        finally:
            running.stop_all()
