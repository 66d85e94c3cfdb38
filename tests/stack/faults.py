"""What happens to everything else while one thing is broken: one row of the table in docs/reliability.md."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tests.postgres import Postgres
from tests.stack.load import NO_ANSWER, REPEATED, Call, Load

WARM_UP_SECONDS: Final = 3.0
RECOVERY_SECONDS: Final = 180.0


@dataclass(frozen=True)
class Lasted:
    """When a fault occurred, by the monotonic clock, and when it was over, by the calendar."""

    started: float
    ended: float
    over_at: datetime


def lasting(break_it: Callable[[], object], seconds: float, mend_it: Callable[[], object]) -> Lasted:
    time.sleep(WARM_UP_SECONDS)
    started = time.monotonic()
    break_it()
    time.sleep(seconds)
    mend_it()
    return Lasted(started, time.monotonic(), datetime.now(UTC))


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # PostgreSQL's helpers come and go
            os.kill(pid, number)


def frozen(victim: object, seconds: float) -> Lasted:
    held: list[int] = []

    def freeze() -> None:
        held.extend(pids_of(victim))  # its current processes: PostgreSQL has one for each connection
        send(held, signal.SIGSTOP)

    return lasting(freeze, seconds, lambda: send(held, signal.SIGCONT))


def pids_of(victim: object) -> list[int]:
    return victim.pids() if isinstance(victim, Postgres) else [victim.process.pid]  # type: ignore[attr-defined]


def seconds_until(is_as_before: Callable[[], bool], since: float) -> float:
    while not is_as_before():
        assert time.monotonic() < since + RECOVERY_SECONDS, "it did not become as before"
        time.sleep(0.25)
    return time.monotonic() - since


def row(case: str, load: Load, lasted: Lasted, recovery: float) -> str:
    """A row of Markdown about the calls that were running at any moment of the fault."""
    during = [call for call in load.calls if call.ended >= lasted.started and call.started <= lasted.ended]
    pushes, reads, probes = ([call for call in during if call.kind == kind] for kind in ("push", "read", "probe"))
    return f"| {case} | {_told(pushes)} | {_told(reads)} | {_slowest(probes)} | {recovery:.0f} s |"


def _told(calls: list[Call]) -> str:
    refused = Counter(call.outcome for call in calls if not call.is_good)
    told = ", ".join(f"{outcome} ({number})" for outcome, number in sorted(refused.items())) or "none"
    return f"{sum(call.is_good for call in calls)}, {_slowest(calls)}, {told}"


def _slowest(calls: list[Call]) -> str:
    answered = [call.seconds for call in calls if call.outcome != NO_ANSWER]
    return f"{max(answered):.1f} s" if answered else "no answer"


def wrong(calls: list[Call]) -> list[Call]:
    """Answers that nobody should ever see, whatever is broken."""
    return [call for call in calls if not call.is_good and call.outcome not in REPEATED]
