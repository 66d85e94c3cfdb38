"""Lets one thread handle requests of one kind that arrive at the same time.

The application answers the first request of each kind, which determines the response headers. Later ones that differ
only in their caller and body go to a handler, many at once, and get the same response. Requests that the handler
declines go to the application like any other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Any, Final, NamedTuple

from fonproxy.logs import request_id
from fonproxy.middleware import CALLER, count_response, log_response, new_request_id
from fonproxy.server.lanes import Lane
from fonproxy.server.refusals import RequestRefused
from fonproxy.server.wsgi import WsgiResponse

STATUS: Final = 204
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

log = logging.getLogger(__name__)

Environ = Mapping[str, Any]
Headers = list[tuple[str, str]]


class Accepted(NamedTuple):
    """A handled request; ``wait`` returns when it may be answered. Without ``wait`` it may be answered at once."""

    account_id: int
    wait: Callable[[], None] | None = None


Handler = Callable[[Sequence[Environ]], Sequence[Accepted | None]]
"""Handles the requests; returns None for each that the application must answer, for which nothing was done.

Runs in a thread, one call at a time.
"""


@dataclass(slots=True, eq=False)
class _Waiting:
    environ: dict[str, Any]
    request_id: str
    is_accepted: asyncio.Future[bool]
    since: float = field(default_factory=perf_counter)


Outcome = tuple[_Waiting, bool | RequestRefused]


class Batches:
    """The requests to one path, for one event loop."""

    def __init__(self, path: str, handler: Handler) -> None:
        self.path = path
        self._handler = handler
        self._headers: dict[tuple[tuple[str, str], ...], Headers] = {}
        self._waiting: deque[_Waiting] = deque()
        self._is_called = False
        self._turn = Lock()
        self._calls: set[asyncio.Task[None]] = set()

    def is_for(self, environ: Environ) -> bool:
        """Whether the handler may receive the request. The size of a compressed body says little about its content."""
        return (
            environ["PATH_INFO"] == self.path
            and environ["REQUEST_METHOD"] == "POST"
            and int(environ["CONTENT_LENGTH"]) <= MAX_BYTES
            and "HTTP_CONTENT_ENCODING" not in environ
        )

    async def answer(self, environ: dict[str, Any], lane: Lane, ordinarily: Callable[[], WsgiResponse]) -> WsgiResponse:
        """Answers a request that the handler may receive. ``ordinarily`` calls the application, in a thread."""
        kind = tuple((name, value) for name, value in environ.items() if name not in _FREE and isinstance(value, str))
        headers = self._headers.get(kind)
        if headers is not None:
            identity = new_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
            if await self._is_accepted(environ, identity, lane):
                return WsgiResponse(STATUS, "No Content", [*headers, (REQUEST_ID, identity)], b"")
            environ["wsgi.input"].seek(0)
        answer = await lane.run(ordinarily)
        if answer.status == STATUS and not any(name == "Set-Cookie" for name, _ in answer.headers):
            if len(self._headers) >= MAX_KINDS:
                self._headers.clear()
            self._headers[kind] = [(name, value) for name, value in answer.headers if name != REQUEST_ID]
        return answer

    async def _is_accepted(self, environ: dict[str, Any], identity: str, lane: Lane) -> bool:
        waiting = _Waiting(environ, identity, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._ensure_call(lane)
        return await waiting.is_accepted

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
            loop.call_soon_threadsafe(self._ensure_call, lane)  # for those beyond the maximum
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

    def _outcome(self, waiting: _Waiting, answer: Accepted | None) -> Outcome:
        """Whether the request was accepted; if so, counts and logs it as the application does for its own."""
        if answer is not None:
            waiting.environ[CALLER] = answer.account_id
            seconds = perf_counter() - waiting.since
            token = request_id.set(waiting.request_id)
            try:
                self._count(STATUS, seconds)
                log_response("POST", self.path, STATUS, seconds, answer.account_id)
            finally:
                request_id.reset(token)
        return waiting, answer is not None

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
        log.exception("waiting for an accepted request failed")


def _tell(outcomes: Sequence[Outcome]) -> None:
    for waiting, outcome in outcomes:
        if waiting.is_accepted.done():  # the client has gone
            continue
        if isinstance(outcome, RequestRefused):
            waiting.is_accepted.set_exception(outcome)
        else:
            waiting.is_accepted.set_result(outcome)
