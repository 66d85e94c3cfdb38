"""Lets one thread handle requests of one kind that arrive at the same time.

The application answers the first request of each kind, which determines the response headers. Later ones that differ
only in their caller and body go to a handler, many at once; it determines the status and body, and the headers are
reused. Requests that the handler declines go to the application like any other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from time import perf_counter
from typing import Any, Final, NamedTuple

from fonproxy.logs import request_id
from fonproxy.middleware import CALLER, count_response, log_response, new_request_id
from fonproxy.server.lanes import Lane
from fonproxy.server.refusals import RequestRefused
from fonproxy.server.wsgi import WsgiResponse

# A larger body justifies a thread of its own.
MAX_BYTES: Final = 2**16
# The maximum of a batch. Further requests form the next one, so that none waits long for earlier ones.
MAX_REQUESTS: Final = 256
MAX_BATCH_BYTES: Final = 2**20
MAX_KINDS: Final = 256
# Variables that the handler checks, or that make no difference to the response. All others must equal those of a
# request that the application answered.
_FREE: Final = frozenset(
    {
        "CONTENT_LENGTH",
        "HTTP_AUTHORIZATION",
        "HTTP_CF_RAY",
        "HTTP_IDEMPOTENCY_KEY",
        "HTTP_TRACEPARENT",
        "HTTP_TRACESTATE",
        "HTTP_USER_AGENT",
        "HTTP_X_AMZN_TRACE_ID",
        "HTTP_X_API_KEY",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_REAL_IP",
        "HTTP_X_REQUEST_ID",
        "REMOTE_ADDR",
        "REMOTE_PORT",
    }
)
REQUEST_ID: Final = "X-Request-Id"
CONTENT_LENGTH: Final = "Content-Length"

log = logging.getLogger(__name__)

Environ = Mapping[str, Any]
Headers = list[tuple[str, str]]


class Handled(NamedTuple):
    """A handled request and its response; ``wait`` returns when it may be sent. Without ``wait`` it is sent at once."""

    account_id: int
    wait: Callable[[], None] | None = None
    status: int = 204
    body: bytes = b""


Handler = Callable[[Sequence[Environ]], Sequence[Handled | None]]
"""Handles the requests; returns None for each that the application must answer, for which nothing was done.

Runs in a thread, one call at a time.
"""


@dataclass(slots=True, eq=False)
class _Waiting:
    environ: dict[str, Any]
    request_id: str
    handled: asyncio.Future[Handled | None]
    since: float = field(default_factory=perf_counter)


Outcome = tuple[_Waiting, Handled | RequestRefused | None]


class Batches:
    """The requests to one path, for one event loop.

    The application's responses with ``status`` show the headers, which its other responses of a handled kind share.
    """

    def __init__(self, path: str, handler: Handler, status: int = 204) -> None:
        self.path = path
        self._handler = handler
        self._status = status
        self._headers: dict[tuple[tuple[str, str], ...], Headers] = {}
        self._waiting: deque[_Waiting] = deque()
        self._is_called = False
        self._turn = Lock()
        self._calls: set[asyncio.Task[None]] = set()

    def is_for(self, environ: Environ) -> bool:
        """Whether the handler may receive the request. The size of a compressed body says little about its content."""
        return (
            environ["REQUEST_METHOD"] == "POST"
            and int(environ["CONTENT_LENGTH"]) <= MAX_BYTES
            and "HTTP_CONTENT_ENCODING" not in environ
        )

    async def answer(self, environ: dict[str, Any], lane: Lane, ordinarily: Callable[[], WsgiResponse]) -> WsgiResponse:
        """Answers a request that the handler may receive. ``ordinarily`` calls the application, in a thread."""
        kind = tuple((name, value) for name, value in environ.items() if name not in _FREE and isinstance(value, str))
        headers = self._headers.get(kind)
        if headers is not None:
            identity = new_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
            handled = await self._handled(environ, identity, lane)
            if handled is not None:
                own = [(CONTENT_LENGTH, str(len(handled.body))), (REQUEST_ID, identity)]
                return WsgiResponse(handled.status, HTTPStatus(handled.status).phrase, [*headers, *own], handled.body)
            environ["wsgi.input"].seek(0)
        answer = await lane.run(ordinarily)
        if answer.status == self._status and not any(name == "Set-Cookie" for name, _ in answer.headers):
            if len(self._headers) >= MAX_KINDS:
                self._headers.clear()
            self._headers[kind] = [each for each in answer.headers if each[0] not in (CONTENT_LENGTH, REQUEST_ID)]
        return answer

    async def _handled(self, environ: dict[str, Any], identity: str, lane: Lane) -> Handled | None:
        waiting = _Waiting(environ, identity, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._ensure_call(lane)
        return await waiting.handled

    def _ensure_call(self, lane: Lane) -> None:
        if not self._is_called and self._waiting:
            self._is_called = True
            call = asyncio.create_task(self._call(lane))
            self._calls.add(call)  # the loop holds only weak references
            call.add_done_callback(self._calls.discard)

    async def _call(self, lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        try:
            await lane.run(lambda: self._work(loop, lane))
        except RequestRefused as refused:  # no thread became free
            self._is_called = False
            _tell([(waiting, refused) for waiting in self._taken()])
            self._ensure_call(lane)

    def _work(self, loop: asyncio.AbstractEventLoop, lane: Lane) -> None:
        """Passes all waiting requests to the handler. Runs in a thread; meanwhile the next requests queue up."""
        with self._turn:
            self._is_called = False
            batch = self._taken()
            if self._waiting:  # beyond the maximum; later ones ensure their own call
                loop.call_soon_threadsafe(self._ensure_call, lane)
            try:
                answers = self._handler([waiting.environ for waiting in batch])
                done = list(zip(batch, answers, strict=True))
            except Exception:
                log.exception("requests failed together")
                loop.call_soon_threadsafe(_tell, [self._failure(waiting) for waiting in batch])
                return
        at_once = [self._outcome(*each) for each in done if each[1] is None or each[1].wait is None]
        loop.call_soon_threadsafe(_tell, at_once)
        for waiting, answer in done:
            if answer is not None and answer.wait is not None:
                _finish(answer.wait)
                loop.call_soon_threadsafe(_tell, [self._outcome(waiting, answer)])

    def _taken(self) -> list[_Waiting]:
        """The next batch; a thread and the loop may call this at the same time."""
        batch: list[_Waiting] = []
        size = 0
        with suppress(IndexError):  # none is left
            while len(batch) < MAX_REQUESTS and size < MAX_BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += int(batch[-1].environ["CONTENT_LENGTH"])
        return batch

    def _outcome(self, waiting: _Waiting, answer: Handled | None) -> Outcome:
        """Counts and logs a handled request as the application does its own."""
        if answer is not None:
            waiting.environ[CALLER] = answer.account_id
            seconds = perf_counter() - waiting.since
            token = request_id.set(waiting.request_id)
            try:
                self._count(answer.status, seconds)
                log_response("POST", self.path, answer.status, seconds, answer.account_id)
            finally:
                request_id.reset(token)
        return waiting, answer

    def _failure(self, waiting: _Waiting) -> Outcome:
        """A refusal, which the connection logs; alerts are based on what is counted."""
        refused = RequestRefused(503, "The request could not be completed. Retry shortly.", wait=1)
        self._count(refused.status, perf_counter() - waiting.since)
        return waiting, refused

    def _count(self, status: int, seconds: float) -> None:
        count_response("POST", self.path.removeprefix("/"), status, seconds)


def _finish(wait: Callable[[], None]) -> None:
    """Waits. The request is done by now: an error must not make the client send it again."""
    try:
        wait()
    except Exception:
        log.exception("waiting for a handled request failed")


def _tell(outcomes: Sequence[Outcome]) -> None:
    for waiting, outcome in outcomes:
        if waiting.handled.done():  # the client has gone
            continue
        if isinstance(outcome, RequestRefused):
            waiting.handled.set_exception(outcome)
        else:
            waiting.handled.set_result(outcome)
