"""One line of Squid's access log as a request.

The line is in Squid's default format, with or without one more column: the bytes received from the client
(``logformat`` code ``%>st``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from analytics.addresses import canonical

MAX_LINE: Final = 2**16
MAX_TEXT: Final = 255
MAX_AMOUNT: Final = 2**44
LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last that can be written as a time


class Fault(StrEnum):
    """Why a line is no request: completes the sentence "The line …"."""

    EMPTY = "is empty"
    CUT_OFF = "is cut off"
    TOO_LONG = "is longer than 64 KiB"
    NUL = "holds a NUL byte"
    NOT_TEXT = "is not valid UTF-8"
    FORMAT = "is not in Squid's default format"
    NUMBER = "holds a number that is negative or absurd"
    LOGIN = "names a login that is not text of 1 to 255 characters"


class Request(NamedTuple):
    """``login`` is empty where nobody signed in, ``domain`` where the target has none, ``error`` where it went well,
    ``client`` where the log does not tell the address of who asked.

    Times are in milliseconds, ``end_ms`` since the epoch. Bytes are named from the customer's side, as the intake does:
    ``bytes_sent`` came from the customer, ``bytes_received`` went to the customer.
    """

    end_ms: int
    duration_ms: int
    login: str
    domain: str
    error: str
    bytes_sent: int
    bytes_received: int
    method: str
    status: int
    client: str


# A login may hold spaces, which Squid leaves as they are where a format says `%[un`; so the hierarchy code, always in
# capitals, marks where it ends.
_LINE: Final = re.compile(
    r"\s*(?P<second>-?\d+)\.(?P<fraction>\d+)\s+(?P<elapsed>-?\d+)\s+(?P<client>\S+)\s+(?P<result>\w{1,200})/(?P<status>-?\d+)\s+"
    r"(?P<size>-?\d+)\s+(?P<method>\S+)\s+(?P<target>\S+)\s+(?P<login>\S+(?: +\S+)*?)\s+"
    r"(?P<hierarchy>[A-Z][A-Z0-9_]*)/(?P<peer>\S+)\s+\S+(?:\s+(?P<sent>-?\d+))?\s*",
    re.ASCII,
)
_HOST: Final = r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]/?#@:\\\x00-\x20\x7f]+))"
_URL: Final = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?{_HOST}(?::\d*)?(?:[/?#].*)?")
_AUTHORITY: Final = re.compile(rf"{_HOST}(?::\d*)?")


def parse(line: bytes) -> Request | Fault:
    """The request of one line, given with its line end; never raises."""
    if fault := _fault_of_bytes(line):
        return fault
    try:
        found = _LINE.fullmatch(line.decode())
    except UnicodeDecodeError:
        return Fault.NOT_TEXT
    return _request(found.groupdict(default="0")) if found else Fault.FORMAT


def _fault_of_bytes(line: bytes) -> Fault | None:
    if not line.endswith(b"\n"):
        return Fault.CUT_OFF
    if len(line) > MAX_LINE:
        return Fault.TOO_LONG
    if b"\0" in line:
        return Fault.NUL
    return None if line.strip() else Fault.EMPTY


def _request(field: dict[str, str]) -> Request | Fault:
    second = _number(field["second"], LAST_SECOND)
    elapsed, received, sent = (_number(field[name], MAX_AMOUNT) for name in ("elapsed", "size", "sent"))
    status = _number(field["status"], 999)
    if second is None or elapsed is None or received is None or sent is None or status is None:
        return Fault.NUMBER
    login = _login(field["login"])
    if login is None:
        return Fault.LOGIN
    failed = _is_failure(field["result"], status, field["hierarchy"], field["peer"])
    return Request(
        end_ms=second * 1000 + int(f"{field['fraction']:0<3.3}"),
        duration_ms=elapsed,
        login=login,
        domain=domain_of(field["method"], field["target"]),
        error=f"{field['result']}/{field['status']}" if failed else "",
        bytes_sent=sent,
        bytes_received=received,
        method=field["method"][:MAX_TEXT],
        status=status,
        client=_address(field["client"]),
    )


def _number(text: str, most: int) -> int | None:
    # The length first: Python refuses to read numbers of thousands of digits.
    return int(text) if text.isdigit() and len(text) <= 15 and int(text) <= most else None


def _address(text: str) -> str:
    """Squid may be told to write a name in its place."""
    try:
        return canonical(text)
    except ValueError:
        return ""


def _login(text: str) -> str | None:
    """Squid percent-encodes what could break the line."""
    if text == "-":
        return ""
    try:
        login = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return None
    return login if len(login) <= MAX_TEXT and "\0" not in login else None


def _is_failure(result: str, status: int, hierarchy: str, peer: str) -> bool:
    """Whether the proxy itself failed or refused; an origin's own 4xx or 5xx is its answer, not an error."""
    if not {"DENIED", "NONE"}.isdisjoint(result.split("_")):
        return True
    return status >= 500 and ("NONE" in hierarchy.split("_") or peer == "-")


def domain_of(method: str, target: str) -> str:
    """The host that was asked for, in lower case without its port; empty where the target names none."""
    found = (_AUTHORITY if method == "CONNECT" else _URL).fullmatch(target)
    host = (found["v6"] or found["name"]).lower() if found else ""
    return host if len(host) <= MAX_TEXT else ""
