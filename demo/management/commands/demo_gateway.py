"""``manage.py demo_gateway``: the demo behind a real proxy server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from demo import gateway

STOP_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.5
LAST_LINES: Final = 20
SERVER: Final = "fonproxy"


class Command(BaseCommand):
    help = "Start the demo, a Squid and the agent between them, and print a request to send through the proxy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of FonProxy")
        parser.add_argument("--proxy-port", type=int, default=3128, help="port of the proxy server")

    def handle(self, *, port: int, proxy_port: int, **options: Any) -> None:
        # Both signals, because SIGINT is ignored in processes that a shell starts in the background.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        url = f"http://127.0.0.1:{port}"
        # Not below the data directory, which Squid's user may not enter.
        with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="fonproxy-gateway-") as name:
            directory = Path(name)
            try:
                wired = gateway.configure(directory, url=url, port=proxy_port)
            except gateway.CannotStart as error:
                raise CommandError(str(error)) from error
            with _started_server(port, directory) as server:
                now = timezone.now()
                password = gateway.make_order(now)
                wired.write_key(gateway.make_key(now))
                with _website() as site, _started(wired) as processes:
                    running = {SERVER: server} | processes
                    while not _listens(proxy_port):
                        _refuse_ended(running, directory)
                    self._print_instructions(wired, url, password, site)
                    while True:
                        _refuse_ended(running, directory)

    def _print_instructions(self, wired: gateway.DemoGateway, url: str, password: str, site: int) -> None:
        ending = "ends running connections" if wired.ends_connections else "would end running connections as root"
        self.stdout.write(
            f"""
  Proxy      127.0.0.1:{wired.port}, a Squid; its files and logs are in {wired.directory}
  Send       curl -x http://{gateway.LOGIN}:{password}@127.0.0.1:{wired.port} -o /dev/null http://localhost:{site}/

             Each request uses 5 MB of alice's order "{gateway.ORDER_NAME}" and shows on {url}/dashboard
             within seconds. After four of them the order is used up: within seconds the proxy refuses more, and the
             agent {ending}. A wrong password gets 407 and costs her nothing.
             Any other website works too. Start again for another 20 MB. Ctrl-C stops everything.
"""
        )
        self.stdout.flush()


@contextmanager
def _started_server(port: int, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Starts FonProxy with the demo and waits until it listens; passes on its output and keeps its log."""
    command = [sys.executable, "manage.py", "serve", "--demo", "--port", str(port)]
    with _log(directory, SERVER).open("ab") as log:
        server = subprocess.Popen(  # noqa: S603  # our own command
            command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if "FonProxy listens on" in line:
                break
        else:
            raise CommandError(f"FonProxy did not start.{_end_of(directory, SERVER)}")
        yield server
    finally:
        _stop(server)


@contextmanager
def _started(wired: gateway.DemoGateway) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Starts Squid and the agent's commands, each with its own log file."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in wired.commands().items():
            with _log(wired.directory, name).open("ab") as log:
                processes[name] = subprocess.Popen(  # noqa: S603  # our own command
                    command, env=wired.environment(), stdout=log, stderr=log, start_new_session=True
                )
        yield processes
    finally:
        for process in processes.values():
            _stop(process)


@contextmanager
def _website() -> Iterator[int]:
    """Starts a website; yields its port."""
    with gateway.website() as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        try:
            yield site.server_port
        finally:
            site.shutdown()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _refuse_ended(processes: Mapping[str, subprocess.Popen[Any]], directory: Path) -> None:
    """Waits a moment. Raises CommandError if a process has ended."""
    for name, process in processes.items():
        if process.poll() is not None:
            raise CommandError(f"{name} has ended with code {process.returncode}.{_end_of(directory, name)}")
    time.sleep(LOOK_SECONDS)


def _end_of(directory: Path, name: str) -> str:
    with suppress(OSError):
        lines = _log(directory, "cache" if name == "squid" else name).read_text(errors="replace").splitlines()
        return "\n".join(["", *lines[-LAST_LINES:]])
    return ""


def _log(directory: Path, name: str) -> Path:
    return directory / f"{name}.log"


def _stop(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
