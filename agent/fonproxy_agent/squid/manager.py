"""Squid's running requests and helpers, from its cache manager over HTTP (``http_access allow localhost manager``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import urllib3
from urllib3.exceptions import HTTPError

from fonproxy_agent.request import amount, login_text

PATH: Final = "/squid-internal-mgr/"
TIMEOUT: Final = urllib3.Timeout(connect=2.0, read=10.0)
MAX_BYTES_OUT: Final = 2**62
_REMOTE: Final = re.compile(rb"\tremote: \[?([0-9A-Fa-f.:]+?)\]?:(\d+)$")
_OUT: Final = re.compile(rb"out\.offset \d+, out\.size (\d{1,18})$")
_PROGRAM: Final = re.compile(rb" *program: (.+)$")
_START: Final = re.compile(rb"start (\d{9,12})\.(\d{6}) ")


class ManagerError(Exception):
    """Squid's cache manager did not answer. The text gives the reason."""


class ActiveRequest(NamedTuple):
    """``start_us`` is in microseconds since the epoch; ``bytes_received`` is the number sent to the client so far."""

    client: str
    port: int
    login: str
    target: str
    start_us: int
    bytes_received: int


def active_requests(manager: str) -> Iterator[ActiveRequest]:
    """Running requests with a login. ``manager`` is the URL of Squid. Raises ManagerError."""
    yield from parse(_page(manager, "active_requests"))


def sign_in_programs(manager: str) -> list[str]:
    """The program of ``auth_param basic``, without its arguments, if there is one. Raises ManagerError."""
    return _programs(_page(manager, "basicauthenticator"))


def access_programs(manager: str) -> list[str]:
    """The program of each ``external_acl_type``, without its arguments. Raises ManagerError."""
    return _programs(_page(manager, "external_acl"))


def _programs(lines: Iterable[bytes]) -> list[str]:
    return [found[1].decode("latin-1") for found in map(_PROGRAM.match, lines) if found]


def _page(manager: str, name: str) -> Iterator[bytes]:
    """The lines of a page, without line ends."""
    url = manager.rstrip("/") + PATH + name
    try:
        response = urllib3.request("GET", url, preload_content=False, retries=False, timeout=TIMEOUT, redirect=False)
        if response.status != 200:
            raise ManagerError(f"Squid's cache manager at {manager} answered {response.status}")
        yield from _lines(response.stream(2**16))
    except (HTTPError, ValueError) as error:
        raise ManagerError(f"Squid's cache manager at {manager} does not answer ({error})") from None


def parse(lines: Iterable[bytes]) -> Iterator[ActiveRequest]:
    """Parses the lines of a listing, given without line ends."""
    block: list[bytes] = []
    for line in lines:
        if line.startswith(b"Connection: "):
            yield from _request(block)
            block = []
        block.append(line)
    yield from _request(block)


def _request(block: list[bytes]) -> Iterator[ActiveRequest]:
    remote = next(filter(None, map(_REMOTE.match, block)), None)
    out = next(filter(None, map(_OUT.match, block)), None)
    start = next(filter(None, map(_START.match, block)), None)
    login = next((line[9:] for line in block if line.startswith(b"username ")), b"-")
    target = next((line[4:] for line in block if line.startswith(b"uri ")), b"")
    if remote and out and start and login not in (b"", b"-"):
        yield ActiveRequest(
            client=remote[1].decode(),
            port=int(remote[2]),
            login=login_text(login),
            target=target.decode("latin-1"),
            start_us=int(start[1] + start[2]),
            bytes_received=amount(out[1].decode(), MAX_BYTES_OUT) or 0,
        )


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.rstrip(b"\r") for line in lines)
    yield rest
