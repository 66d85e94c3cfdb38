"""A real Squid's log, shifted to end about an hour ago, and its totals by a count independent of the shipper."""

from __future__ import annotations

import gzip
import time
from collections import Counter
from itertools import count
from typing import Final

from tests.serving import ROOT

DATA: Final = ROOT / "agent" / "tests" / "data"
_calls: Final = count()
# One for all calls: a minute passing between two calls would cancel the minute that distinguishes them.
_now: Final = time.time()
USERS: Final = ("alice", "bob", "carol", "dave")

# login -> domain -> requests, bytes from the customer, bytes to the customer, errors
Counts = dict[str, dict[str, Counter[str]]]


def shifted(log: bytes) -> bytes:
    """The same lines, later by a different number of minutes each time: a server recognizes lines shipped before."""
    lines = log.splitlines(keepends=True)
    newest = float(lines[-1].split()[0])
    later = (int(_now - 3600 - newest) // 60 - next(_calls)) * 60
    return b"".join(b"%.3f" % (float(line[:14]) + later) + line[14:] for line in lines)


def whole_log() -> bytes:
    return shifted(gzip.decompress((DATA / "access.log.gz").read_bytes()))


def native_log() -> bytes:
    return shifted((DATA / "native.log").read_bytes())


def independent_count(log: bytes) -> Counts:
    """Counts by splitting at spaces and slashes, as one would with awk."""
    counts: Counts = {}
    for line in log.decode().splitlines():
        cells = line.split()
        tag, status = cells[3].split("/")
        if status == "407":
            continue  # a failed sign-in
        target = cells[6]
        domain = target.split("/")[2] if "://" in target else target.rsplit(":", 1)[0]
        refused = "DENIED" in tag
        failed = refused or "NONE" in tag or (int(status) >= 500 and cells[8].endswith("/-"))
        of_domain = counts.setdefault(cells[7], {}).setdefault(domain, Counter())
        of_domain["requests"] += 1
        if not refused:  # or only Squid's own page was sent
            of_domain["received"] += int(cells[4])
            of_domain["sent"] += int(cells[10]) if len(cells) > 10 else 0
        of_domain["errors"] += failed
    return counts
