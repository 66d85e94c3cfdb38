"""One connection: requests are answered one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any, Final

import h11

from fonproxy.api.parsers import MAX_BYTES as SMALL_BYTES
from fonproxy.server import refusals
from fonproxy.server.batches import Batches
from fonproxy.server.bodies import Gate, RequestBody
from fonproxy.server.callers import Caller, Callers, address_of
from fonproxy.server.lanes import Lane, Lanes
from fonproxy.server.pace import Pace
from fonproxy.server.refusals import RequestRefused
from fonproxy.server.wsgi import Application, WsgiResponse, call, environ_of

HEAD_BYTES: Final = 2**16
# The size of reads and writes.
BLOCK_BYTES: Final = 2**18
# How much of a malformed head is parsed to find its path.
FIRST_LINE_BYTES: Final = 2**12
# Bytes of chunk headers and trailers that a body may have: so many, and this multiple of its own length.
FRAMING_BYTES: Final = 2**14
FRAMING_RATIO: Final = 2
# Chunks parsed before other connections have their turn: a body may have tens of thousands of them.
CHUNKS_PER_TURN: Final = 256
HEAD_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
LINGER_SECONDS: Final = 2.0
# A 429 or the refusal of a body is sent after this time, while it holds its share of the lane, so that a flood of them
# costs little.
THROTTLED_SECONDS: Final = 0.5
WITHOUT_BODY: Final = frozenset({204, 304})
CONTINUE: Final = h11.InformationalResponse(status_code=100, reason=b"Continue", headers=[])
SENTENCES: Final = {
    431: f"The head of a request may have at most {HEAD_BYTES // 2**10} KiB.",
    501: "The only supported transfer coding is chunked.",
}

log = logging.getLogger(__name__)


class ConnectionState(Enum):
    IDLE = "between requests"
    ARRIVING = "a request is being read"
    WORKING = "a request is being answered"


@dataclass(frozen=True)
class ConnectionContext:
    """Data shared by all connections."""

    application: Application
    address: tuple[str, int]
    lanes: Lanes
    gate: Gate
    callers: Callers
    batches: Mapping[str, Batches]
    stop: asyncio.Event


class Connection:
    def __init__(self, service: ConnectionContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.client: tuple[str, int] = writer.get_extra_info("peername")[:2]
        self.state = ConnectionState.IDLE
        self.last_read = monotonic()
        self._service = service
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._start_of_head = b""
        self._idle_seconds = HEAD_SECONDS
        writer.transport.set_write_buffer_limits(0)  # so that draining waits until the kernel has everything

    async def serve(self) -> None:
        """Returns when either side ends the connection."""
        try:
            while await self._exchange():
                self._http.start_next_cycle()
            await self._linger()
        except (OSError, TimeoutError):
            self._writer.transport.abort()
        finally:
            self._writer.close()

    async def _exchange(self) -> bool:
        """One request and its response; returns whether another may follow."""
        method, path = "", ""
        request: h11.Request | None = None
        try:
            request = await self._head()
            if request is None:
                return False
            self.state = ConnectionState.ARRIVING
            method, path = refusals.named_by(request)
            await self._answer(request, self._service.lanes.of(method, path))
        except RequestRefused as refused:
            if not method:
                method, path = refusals.named(self._start_of_head)
            await self._refuse(refused, method, path, refusals.id_given_in(request) if request else "")
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _answer(self, request: h11.Request, lane: Lane) -> None:
        try:
            environ = environ_of(request, self.client, self._service.address)
        except ValueError as fault:
            raise RequestRefused(400, str(fault)) from None
        callers = self._service.callers
        caller = Caller(address_of(environ), is_known=False) if lane.rules.by_address else callers.of(environ)
        async with lane.share(caller):
            try:
                body = await self._body(request, environ, lane)
            except RequestRefused:
                await asyncio.sleep(THROTTLED_SECONDS)
                raise
            try:
                environ.update({"wsgi.input": body.file, "CONTENT_LENGTH": str(body.size)})
                self.state = ConnectionState.WORKING
                answer = await self._call(environ, lane)
                callers.learn(environ, answer.status)
                if answer.status == 429:
                    await asyncio.sleep(THROTTLED_SECONDS)
                await self._send(answer, request.method, lane)
            finally:
                body.close()

    async def _call(self, environ: dict[str, Any], lane: Lane) -> WsgiResponse:
        ordinarily = partial(call, self._service.application, environ)
        batches = self._service.batches.get(environ["PATH_INFO"])
        try:
            if batches is not None and batches.is_for(environ):
                return await batches.answer(environ, lane, ordinarily)
            return await lane.run(ordinarily)
        except RequestRefused:
            raise
        except Exception:
            log.exception("the application failed")
            raise RequestRefused(500, "Something went wrong on our side.") from None

    # --- reading ----------------------------------------------------------------------------------------------------

    async def _head(self) -> h11.Request | None:
        """The next request's head; None when the client has disconnected or the connection is idle for too long."""
        self._start_of_head = self._http.trailing_data[0]
        self.state = ConnectionState.ARRIVING if self._start_of_head else ConnectionState.IDLE
        deadline = monotonic() + (self._idle_seconds if self.state is ConnectionState.IDLE else HEAD_SECONDS)
        self._idle_seconds = IDLE_SECONDS
        while (event := self._next_event(in_head=True)) is h11.NEED_DATA:
            try:
                async with asyncio.timeout(deadline - monotonic()):
                    data = await self._reader.read(BLOCK_BYTES)
            except TimeoutError:
                if self.state is ConnectionState.IDLE:
                    return None
                raise RequestRefused(408, f"A head must be complete within {HEAD_SECONDS:.0f} seconds.") from None
            if not data:
                return None
            if self.state is ConnectionState.IDLE:
                self.state, deadline = ConnectionState.ARRIVING, monotonic() + HEAD_SECONDS
            if len(self._start_of_head) < FIRST_LINE_BYTES:
                self._start_of_head += data
            self._receive(data)
        return event if isinstance(event, h11.Request) else None

    async def _body(self, request: h11.Request, environ: dict[str, Any], lane: Lane) -> RequestBody:
        """The body; empty for a caller who may not send it, whom the application refuses."""
        length = _announced(request)
        body = RequestBody(lane, SMALL_BYTES)
        if lane.rules.body_bytes and (length is None or length > SMALL_BYTES):
            may_send = self._service.gate.remembers(environ) or await lane.run(
                partial(self._service.gate.may_send, environ)
            )
            if not may_send:
                return body
            body = RequestBody(lane, lane.rules.body_bytes)
        try:
            body.refuse_beyond_limit(length or 0)
            await self._read_body(body)
        except BaseException:
            body.close()
            raise
        body.file.seek(0)
        return body

    async def _read_body(self, body: RequestBody) -> None:
        pace, received, chunks = Pace(), 0, 0
        while not isinstance(event := self._next_event(in_head=False), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body.add(event.data)
                pace.moved(len(event.data))
                chunks += 1
                if chunks % CHUNKS_PER_TURN == 0:
                    await asyncio.sleep(0)
                continue
            if received - body.size > FRAMING_BYTES + FRAMING_RATIO * body.size:
                raise RequestRefused(400, "The chunks of the body are too small, or their extensions too long.")
            if self._http.they_are_waiting_for_100_continue:
                await self._write(self._http.send(CONTINUE), pace)
            try:
                async with pace.waiting():
                    data = await self._reader.read(BLOCK_BYTES)
            except TimeoutError:
                raise RequestRefused(408, "The body arrives too slowly.") from None
            if not data:
                raise ConnectionResetError
            received += len(data)
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        self.last_read = monotonic()
        self._http.receive_data(data)

    def _next_event(self, *, in_head: bool) -> Any:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as fault:
            status = fault.error_status_hint if in_head else 400
            raise RequestRefused(status, SENTENCES.get(status, "The request is not valid HTTP.")) from None

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _send(self, answer: WsgiResponse, method: bytes, lane: Lane) -> None:
        """Sends the response, chunk by chunk as the client reads; a thread produces each chunk."""
        pace = Pace()
        try:
            begun = self._http.send(self._response(answer))
            if method == b"HEAD" or answer.status in WITHOUT_BODY:
                await self._write(begun + self._http.send(h11.EndOfMessage()), pace)
                return
            while not answer.is_ended:
                await self._write(begun + self._chunk(answer), pace)
                begun = b""
                await lane.run(answer.produce, is_begun=True)
            await self._write(begun + self._chunk(answer) + self._http.send(h11.EndOfMessage()), pace)
        finally:
            if not answer.is_ended:
                await lane.run(answer.end, is_begun=True)

    def _chunk(self, answer: WsgiResponse) -> bytes:
        return self._http.send(h11.Data(data=answer.chunk)) if answer.chunk else b""

    async def _refuse(self, refused: RequestRefused, method: str, path: str, given_id: str) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            raise ConnectionResetError  # part of a response has already been sent
        self.state = ConnectionState.WORKING
        lane = self._service.lanes.of(method, path)
        await self._send(refusals.answer(refused, method, path, given_id), method.encode(), lane)

    def _response(self, answer: WsgiResponse) -> h11.Response:
        headers = [
            (name, value.strip())
            for name, value in answer.headers
            if answer.status not in WITHOUT_BODY or name.lower() != "content-length"
        ]
        headers.append(("Date", formatdate(usegmt=True)))
        # At the end a client that sends one request after another must not be cut off in the middle of one.
        if self._http.their_state is not h11.DONE or self._service.stop.is_set():
            headers.append(("Connection", "close"))
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        return h11.Response(status_code=answer.status, reason=answer.reason.encode(), headers=encoded)

    async def _write(self, data: bytes, pace: Pace) -> None:
        """Raises TimeoutError when the client does not read, and ConnectionResetError when it has disconnected."""
        view = memoryview(data)
        for start in range(0, len(view), BLOCK_BYTES):
            if self._writer.transport.is_closing():  # asyncio would drop the block without an error
                raise ConnectionResetError
            block = view[start : start + BLOCK_BYTES]
            self._writer.write(block)
            if self._writer.transport.get_write_buffer_size():
                async with pace.waiting():
                    await self._writer.drain()
            pace.moved(len(block))

    async def _linger(self) -> None:
        """Reads and discards what a refused client still sends, for a moment, so that it can read the response."""
        if self._http.their_state not in (h11.SEND_BODY, h11.ERROR):
            return
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._reader.read(BLOCK_BYTES):
                    pass


def _announced(request: h11.Request) -> int | None:
    """The length of the body; None if it is chunked."""
    headers = dict(request.headers)
    if b"transfer-encoding" not in headers:
        return int(headers.get(b"content-length", b"0"))
    if b"content-length" in headers:
        raise RequestRefused(400, "A request must not have both Content-Length and Transfer-Encoding.")
    return None
