"""HTTP calls to FonProxy, and what the responses mean for the caller."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from fonproxy_agent.errors import Stop, UsageError

CONNECT_SECONDS: Final = 5.0
CONNECTIONS: Final = 32
# Longer than any response of FonProxy to a push takes.
ANSWER_SECONDS: Final = 90.0
MAX_WAIT: Final = 300.0
T = TypeVar("T")
PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
MINUTES_ROUTE: Final = "/analytics/ingest"
REQUESTS_ROUTE: Final = "/log/ingest"
REFUSALS: Final = {
    401: "FonProxy does not know the API key: it is wrong, revoked or expired.",
    403: "The API key lacks the scope '{scope}', which staff can grant.",
    404: "There is no FonProxy at this URL.",
    405: "There is no FonProxy at this URL.",
    409: "FonProxy has other rows under the key of these lines: the log was changed after it was read, or another "
    "version of the agent began to ship it.",
    413: "FonProxy accepts less at once than the agent sends.",
}


class Unreachable(Exception):
    """FonProxy did not answer, or asked to retry later. The text says what happened."""


class Throttled(Unreachable):
    """FonProxy is reachable, but the rate of calls was too high."""


class SendOutcome(Enum):
    ACCEPTED = auto()
    REFUSED_FOR_NOW = auto()  # certainly not stored: retry
    UNKNOWN = auto()  # perhaps stored: retry, the idempotency key prevents counting twice
    BAD_ROWS = auto()


class BadRow(msgspec.Struct, frozen=True):
    field: str
    message: str
    index: int | None = None


class BadRows(Stop):
    """FonProxy refuses some rows of a body and has stored none of them."""

    def __init__(self, rows: Sequence[BadRow]) -> None:
        super().__init__(f"FonProxy refuses a row for its {rows[0].field}: {rows[0].message}")
        self.rows = rows


class _ErrorBody(msgspec.Struct):
    detail: str = ""
    errors: list[BadRow] = []


@dataclass(frozen=True, slots=True)
class PushResult:
    """``wait`` is the number of seconds that the server requests before a retry, ``text`` describes the problem."""

    outcome: SendOutcome
    bad_rows: Sequence[BadRow] = ()
    wait: float = 0.0
    text: str = ""


class AgentClient:
    """One FonProxy, called with one API key. The key never appears in a message. Threads may share it."""

    def __init__(self, url: str, key: str, scope: str = "ingest", *, timeout: float = ANSWER_SECONDS) -> None:
        if not _is_base_url(url):
            raise UsageError("The URL must be like https://usage.example.com.")
        if not PRINTABLE.fullmatch(key):
            raise UsageError("The API key must be fnp_ and 64 hexadecimal digits, without spaces.")
        self._url = url.rstrip("/")
        self._key = key
        self._scope = scope
        connect = min(CONNECT_SECONDS, timeout)
        self._http = urllib3.PoolManager(
            maxsize=CONNECTIONS, retries=False, timeout=urllib3.Timeout(connect=connect, read=timeout)
        )

    def push(self, route: str, body: bytes, idempotency_key: str) -> PushResult:
        """Pushes rows. Raises Stop for a refusal that a retry would not change."""
        headers = {
            "x-api-key": self._key,
            "Idempotency-Key": idempotency_key,
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            # The response only confirms that the rows are durable; the agent does not read them.
            "Prefer": "respond-async",
        }
        try:
            response = self._http.request(
                "POST", self._url + route, gzip.compress(body, 5), headers=headers, redirect=False
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            return PushResult(SendOutcome.REFUSED_FOR_NOW, text=f"FonProxy is unreachable ({_reason(error)})")
        except HTTPError as error:
            return PushResult(SendOutcome.UNKNOWN, text=f"FonProxy did not answer ({_reason(error)})")
        if response.status == 204:
            return PushResult(SendOutcome.ACCEPTED)
        if response.status == 429 or response.status >= 500:
            outcome = SendOutcome.REFUSED_FOR_NOW if response.status == 429 else SendOutcome.UNKNOWN
            wait = _seconds(response.headers.get("Retry-After"))
            return PushResult(outcome, wait=wait, text=f"FonProxy answered {response.status}")
        problem = _error_body(response.data)
        if response.status == 400 and problem.errors and all(bad.index is not None for bad in problem.errors):
            return PushResult(SendOutcome.BAD_ROWS, bad_rows=problem.errors, text=problem.errors[0].message)
        raise self._refusal(response.status, problem)

    def get(self, path: str, answer: type[T]) -> T:
        """The response to a GET. Raises Unreachable, or Stop for a refusal that a retry would not change."""
        status, data = self._call("GET", path, None)
        if status != 200:
            raise self._refusal(status, _error_body(data))
        return _decode(data, answer)

    def post(self, path: str, body: object, answers: dict[int, type[T]]) -> T | None:
        """The response to a POST, by status; None for 204. Raises like ``get``."""
        status, data = self._call("POST", path, msgspec.json.encode(body))
        if status == 204:
            return None
        if status not in answers:
            problem = _error_body(data)
            if status == 400 and problem.errors and all(bad.index is not None for bad in problem.errors):
                raise BadRows(problem.errors)
            raise self._refusal(status, problem)
        try:
            return _decode(data, answers[status])
        except Unreachable:
            if status < 400:
                raise
            raise self._refusal(status, _error_body(data)) from None

    def _call(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"x-api-key": self._key, "Content-Type": "application/json"}
        try:
            response = self._http.request(method, self._url + path, body, headers=headers, redirect=False)
        except HTTPError as error:
            raise Unreachable(f"FonProxy is unreachable ({_reason(error)})") from None
        if response.status == 429:
            raise Throttled("FonProxy answered 429")
        if response.status >= 500:
            raise Unreachable(f"FonProxy answered {response.status}")
        return response.status, response.data

    def _refusal(self, status: int, problem: _ErrorBody) -> Stop:
        default = "FonProxy refuses the request." if status == 400 else f"The answer {status} is not one of FonProxy's."
        return Stop(f"{REFUSALS.get(status, default).format(scope=self._scope)} {problem.detail}".strip())


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_valid_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    labels = (parts.hostname or "").rstrip(".").split(".")
    is_valid_host = ":" in (parts.hostname or "") or all(0 < len(label) < 64 for label in labels)
    return parts.scheme in ("http", "https") and is_valid_port and is_valid_host and not (parts.query or parts.fragment)


def _decode(data: bytes, answer: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreachable("the answer is not one of FonProxy's") from None


def _error_body(body: bytes) -> _ErrorBody:
    try:
        return msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _ErrorBody()


def _seconds(retry_after: str | None) -> float:
    try:
        wait = float(retry_after or 0)
    except ValueError:
        return 0.0
    return min(max(wait, 0.0), MAX_WAIT) if math.isfinite(wait) else 0.0


def _reason(error: HTTPError) -> str:
    """The innermost cause as text, without the URL."""
    return str(error).rpartition(": ")[2] or type(error).__name__
