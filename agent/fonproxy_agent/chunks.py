"""Reads one chunk of a log: the rows to send, and the outcome of each of its lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec.structs import replace

from fonproxy_agent.files import LogFile
from fonproxy_agent.request import Ignored, LineError, Request
from fonproxy_agent.rows import MINUTE_MS, AnyRow, aggregate, instant_text, minute_text, one_by_one
from fonproxy_agent.sessions import CounterStore, SessionReport, iso
from fonproxy_agent.state import Chunk

Parser = Callable[[bytes], Request | LineError | Ignored]


class SkipReason(StrEnum):
    """Why a request is left out; completes the sentence "… requests …", followed by the login if there is one."""

    UNAUTHENTICATED = "without a sign-in"
    FAILED_SIGN_IN = "with a failed sign-in as"
    UNKNOWN = "of the unknown login"
    UNTIMELY = "too old or too far in the future of"


@dataclass
class ChunkContent:
    """The rows of a chunk, the ends of sessions, and the outcome of its lines.

    ``errors`` are (line within the chunk from 0, reason).
    """

    rows: Sequence[AnyRow] = ()
    ends: list[SessionReport] = field(default_factory=list)
    lines: int = 0
    ignored: int = 0
    shipped: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    errors: list[tuple[int, LineError]] = field(default_factory=list)
    left_out: Counter[tuple[SkipReason, str]] = field(default_factory=Counter)


def read(log: LogFile, chunk: Chunk, parse: Parser) -> ChunkContent:
    """Parses the chunk. The result depends only on the file's bytes, so the same chunk always gives the same rows."""
    content = ChunkContent()
    requests: list[Request] = []
    sessions = {position: (session, login, start_ms) for position, session, login, start_ms in chunk.watched}
    for position, line in enumerate(log.lines(chunk.start, chunk.end)):
        content.lines += 1
        request = parse(line)
        if isinstance(request, LineError):
            content.errors.append((position, request))
            continue
        if isinstance(request, Ignored):
            content.ignored += 1
            continue
        request = _with_known_login(request, chunk)
        if reason := _reason_to_leave_out(request, chunk):
            content.left_out[reason, request.login] += 1
            continue
        content.shipped += 1
        if session := sessions.get(position):
            content.ends.append(_end(request, chunk.worker, *session))
        else:
            requests.append(request)
        content.bytes_sent += request.bytes_sent
        content.bytes_received += request.bytes_received
    content.rows = one_by_one(requests) if chunk.is_raw else aggregate(requests, chunk.worker)
    return content


def _end(request: Request, worker: str, session: str, login: str, start_ms: int) -> SessionReport:
    # The start as it was reported, which distinguishes sessions.
    return SessionReport(
        session=session,
        login=login,
        worker=worker,
        started_at=iso(start_ms),
        ended=True,
        bytes_sent=request.bytes_sent,
        bytes_received=request.bytes_received,
        requests=1,
        domain=request.domain,
        ip_from=request.client,
    )


def find_watched(
    log: LogFile, chunk: Chunk, parse: Parser, sessions: CounterStore, first_line: str, until_ms: float
) -> Chunk:
    """The chunk with its watched lines, ending before the first line of a request that ended after ``until_ms``.

    ``first_line`` identifies the chunk's first line; a session belongs to one line only.
    """
    end = chunk.start
    watched: list[tuple[int, str, str, int]] = []
    for position, line in enumerate(log.lines(chunk.start, chunk.end)):
        request = parse(line)
        if isinstance(request, Request):
            if request.end_ms > until_ms:
                return replace(chunk, end=end, watched=tuple(watched))
            if request.login and not (request.is_failed_sign_in or request.is_refused):
                found = sessions.claim(request, f"{first_line}+{position}")
                watched += [(position, *found)] if found else []
        end += len(line)
    return replace(chunk, watched=tuple(watched))


def _with_known_login(request: Request, chunk: Chunk) -> Request:
    """The request with the first reading of its login that is not known to be unknown."""
    if not request.shorter_logins:
        return request
    readings = (request.login, *request.shorter_logins)
    ordered = readings[::-1] if chunk.from_right else readings
    login = next((reading for reading in ordered if reading not in chunk.unknown), readings[-1])
    return request._replace(login=login)


def _reason_to_leave_out(request: Request, chunk: Chunk) -> SkipReason | None:
    if not request.login:
        return SkipReason.UNAUTHENTICATED
    if request.is_failed_sign_in:
        return SkipReason.FAILED_SIGN_IN
    if request.login in chunk.unknown:
        return SkipReason.UNKNOWN
    ts = instant_text(request.end_ms) if chunk.is_raw else minute_text(request.end_ms // MINUTE_MS)
    is_timely = (not chunk.too_old or ts > chunk.too_old) and (not chunk.too_new or ts < chunk.too_new)
    return None if is_timely else SkipReason.UNTIMELY
