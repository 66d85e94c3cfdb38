"""Pushing to the intake over HTTP, and what its answers mean to a shipper."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import urlsplit

import msgspec
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from analytics.squid.state import Stop

CONNECT_SECONDS: Final = 5.0
# Longer than the intake itself ever takes before it answers.
ANSWER_SECONDS: Final = 90.0
LONGEST_WAIT: Final = 300.0


class Outcome(Enum):
    TAKEN = auto()
    NOT_TAKEN = auto()  # certainly: try again
    IN_DOUBT = auto()  # try again; the key keeps it from counting twice
    BAD_ROWS = auto()


class BadRow(msgspec.Struct, frozen=True):
    field: str
    message: str
    index: int | None = None


class _Problem(msgspec.Struct):
    detail: str = ""
    errors: list[BadRow] = []


@dataclass(frozen=True, slots=True)
class Answer:
    """``wait`` is how many seconds the server asks to be left alone, ``text`` what went wrong in words."""

    outcome: Outcome
    bad_rows: Sequence[BadRow] = ()
    wait: float = 0.0
    text: str = ""


PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
# Rows that are added up, and single requests.
ADDED_UP: Final = "/analytics/ingest"
RAW: Final = "/log/ingest"
REFUSALS: Final = {
    401: "The server does not know the key: it is wrong, revoked or expired.",
    403: "The key may not push: it needs the scope 'ingest', which staff can grant.",
    404: "There is no FonProxy at this address.",
    405: "There is no FonProxy at this address.",
    409: "The server has other rows under the key of these lines: the log was changed after it was read, or another "
    "version of FonProxy began to ship it.",
    413: "The server takes less at once than is sent.",
}


class Server:
    """One FonProxy, called with one key. The key is never shown."""

    def __init__(self, url: str, key: str) -> None:
        if not _is_address(url):
            raise Stop("The address must be like https://usage.example.com.")
        if not PRINTABLE.fullmatch(key):
            raise Stop("The key must be like fnp_ and 64 digits, without spaces.")
        self._url = url.rstrip("/")
        self._key = key
        self._http = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS)
        )

    def push(self, route: str, body: bytes, idempotency_key: str) -> Answer:
        """Raises Stop for answers that would be the same next time."""
        url = self._url + route
        headers = {
            "x-api-key": self._key,
            "Idempotency-Key": idempotency_key,
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        try:
            response = self._http.request("POST", url, gzip.compress(body, 5), headers=headers, redirect=False)
        except (NewConnectionError, ConnectTimeoutError) as error:
            return Answer(Outcome.NOT_TAKEN, text=f"the server cannot be reached ({_reason(error)})")
        except HTTPError as error:
            return Answer(Outcome.IN_DOUBT, text=f"the server did not answer ({_reason(error)})")
        return _answer(response.status, response.headers.get("Retry-After"), response.data)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return False
    labels = (parts.hostname or "").rstrip(".").split(".")
    host_is_right = ":" in (parts.hostname or "") or all(0 < len(label) < 64 for label in labels)
    return parts.scheme in ("http", "https") and port_is_right and host_is_right and not (parts.query or parts.fragment)


def _answer(status: int, retry_after: str | None, body: bytes) -> Answer:
    if status == 204:
        return Answer(Outcome.TAKEN)
    if status == 429 or status >= 500:
        outcome = Outcome.NOT_TAKEN if status == 429 else Outcome.IN_DOUBT
        return Answer(outcome, wait=_seconds(retry_after), text=f"the server answered {status}")
    problem = _problem(body)
    if status == 400 and problem.errors and all(bad.index is not None for bad in problem.errors):
        return Answer(Outcome.BAD_ROWS, bad_rows=problem.errors, text=problem.errors[0].message)
    unknown = "The server refuses the request." if status == 400 else f"The server answered {status}: no FonProxy does."
    refusal = REFUSALS.get(status, unknown)
    raise Stop(f"{refusal} {problem.detail}".strip())


def _problem(body: bytes) -> _Problem:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Problem()


def _seconds(retry_after: str | None) -> float:
    try:
        wait = float(retry_after or 0)
    except ValueError:
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT) if math.isfinite(wait) else 0.0


def _reason(error: HTTPError) -> str:
    """The last of the causes, in its own words, without the address."""
    return str(error).rpartition(": ")[2] or type(error).__name__
