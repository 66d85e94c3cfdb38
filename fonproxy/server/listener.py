"""Accepts connections, limits their number, and stops gracefully."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from time import monotonic
from typing import Final

from django.conf import settings

from fonproxy.networks import network_of
from fonproxy.server.batches import Batches
from fonproxy.server.bodies import Gate
from fonproxy.server.callers import Callers
from fonproxy.server.connection import BLOCK_BYTES, Connection, ConnectionContext, ConnectionState
from fonproxy.server.lanes import Lanes
from fonproxy.server.wsgi import Application

BACKLOG: Final = 1024
DRAIN_SECONDS: Final = 8.0
# At shutdown, a request that is still arriving is waited for as long as more of it arrives.
ARRIVAL_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.05
SWITCH_SECONDS: Final = 0.0005
# File descriptors besides connections: databases, and bodies that are too large for memory.
OTHER_FILES: Final = 4096
TOO_MANY: Final = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class HttpServer:
    """Listens from its creation on; ``run`` serves until the process gets a signal to stop."""

    def __init__(self, application: Application, host: str, port: int, batches: Collection[Batches] = ()) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self._socket.listen(BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._application = application
        self._batches = {each.path: each for each in batches}
        self._host = host
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._by_address: Counter[str] = Counter()

    def run(self) -> None:
        """Returns after SIGTERM or SIGINT, when current requests are answered or have used up their time."""
        _allow_files(settings.CONNECTIONS + OTHER_FILES)
        # The loop competes with computing threads; Python's default switch interval of five milliseconds is too long.
        sys.setswitchinterval(SWITCH_SECONDS)
        asyncio.run(self._run())

    async def _run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self.serve(stop)

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until the event is set, then finishes current requests."""
        address = (self._host, self.port)
        self._service = ConnectionContext(self._application, address, Lanes(), Gate(), Callers(), self._batches, stop)
        listening = await asyncio.start_server(self._accept, sock=self._socket, limit=BLOCK_BYTES, backlog=BACKLOG)
        await stop.wait()
        listening.close()
        await self._drain()
        self._service.lanes.shut_down()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer.get_extra_info("peername") is None:  # already closed
            writer.close()
            return
        connection = Connection(self._service, reader, writer)
        address = network_of(connection.client[0])
        if not self._has_room_for(address):
            writer.write(TOO_MANY)
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._open[connection] = task
        self._by_address[address] += 1
        try:
            with suppress(asyncio.CancelledError):  # raised when the listener closes a connection
                await connection.serve()
        finally:
            del self._open[connection]
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _has_room_for(self, address: str) -> bool:
        """Closes the connection that has been silent longest if there are too many in all."""
        # Behind a proxy all connections have its address, and the proxy has its own limits.
        if not settings.TRUSTED_PROXIES and self._by_address[address] >= settings.CONNECTIONS_PER_ADDRESS:
            return False
        if len(self._open) < settings.CONNECTIONS:
            return True
        silent = [connection for connection in self._open if connection.state is not ConnectionState.WORKING]
        if not silent:
            return False
        self._open[min(silent, key=lambda connection: connection.last_read)].cancel()
        return True

    async def _drain(self) -> None:
        deadline = monotonic() + DRAIN_SECONDS
        while monotonic() < deadline and any(map(_is_busy, self._open)):
            await asyncio.sleep(POLL_SECONDS)


def _is_busy(connection: Connection) -> bool:
    if connection.state is ConnectionState.ARRIVING:
        return monotonic() - connection.last_read < ARRIVAL_SECONDS
    return connection.state is ConnectionState.WORKING


def _allow_files(wanted: int) -> None:
    """Raises the process's limit of open files as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
