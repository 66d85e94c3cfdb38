"""The web server with a test's own application, in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

from fonproxy.server.batches import Batches
from fonproxy.server.listener import HttpServer
from fonproxy.server.wsgi import Application

WAIT_SECONDS = 30


class RunningServer:
    def __init__(self, application: Application, *batches: Batches) -> None:
        self._server = HttpServer(application, "127.0.0.1", 0, batches)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(WAIT_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._server.serve(self._stop)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._server.port), WAIT_SECONDS, (source, 0))

    def has_connections(self) -> bool:
        return bool(self._server._open)

    def is_listening(self) -> bool:
        return self._server._socket.fileno() != -1

    def call_soon(self, call: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(call)

    def begin_to_stop(self) -> None:
        self.call_soon(self._stop.set)

    def stop(self) -> None:
        self.begin_to_stop()
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()
