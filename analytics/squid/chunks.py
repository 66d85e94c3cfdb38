"""One chunk of a log as the body that is sent for it, and an account of every line in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from analytics.squid.files import LogFile
from analytics.squid.lines import Fault, Request, parse
from analytics.squid.rows import MINUTE_MS, AnyRow, aggregate, moment, one_by_one, stamp
from analytics.squid.state import Chunk, Totals


@dataclass
class Content:
    """The rows of a chunk, and what became of its lines. ``faults`` are (line within the chunk from 0, reason)."""

    rows: Sequence[AnyRow]
    totals: Totals
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)


def read(log: LogFile, chunk: Chunk) -> Content:
    """The same chunk of the same file always gives the same rows."""
    faults: list[tuple[int, Fault]] = []
    unknown: Counter[str] = Counter()
    requests: list[Request] = []
    lines = unauthenticated = untimely = 0
    for lines, line in enumerate(log.lines(chunk.start, chunk.end), 1):
        request = parse(line)
        if isinstance(request, Fault):
            faults.append((lines - 1, request))
        elif not request.login:
            unauthenticated += 1
        elif request.login in chunk.unknown:
            unknown[request.login] += 1
        elif not _is_timely(request, chunk):
            untimely += 1
        else:
            requests.append(request)
    totals = Totals(
        lines=lines,
        shipped=len(requests),
        bytes_sent=sum(request.bytes_sent for request in requests),
        bytes_received=sum(request.bytes_received for request in requests),
        bad=len(faults),
        unauthenticated=unauthenticated,
        unknown=unknown.total(),
        untimely=untimely,
    )
    rows: Sequence[AnyRow] = one_by_one(requests) if chunk.is_raw else aggregate(requests, chunk.worker)
    return Content(rows, totals, faults, unknown)


def _is_timely(request: Request, chunk: Chunk) -> bool:
    ts = moment(request.end_ms) if chunk.is_raw else stamp(request.end_ms // MINUTE_MS)
    return (not chunk.too_old or ts > chunk.too_old) and (not chunk.too_new or ts < chunk.too_new)
