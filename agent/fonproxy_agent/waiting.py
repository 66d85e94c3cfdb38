"""Waiting that a signal interrupts."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

from fonproxy_agent.errors import ExitCode


class Cancellation:
    """Set by SIGTERM and SIGINT. The handler only sets a flag, because it may run while any lock is held."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.is_set:  # the second signal: exit at once, which loses nothing
            sys.exit(ExitCode.TRY_AGAIN)
        self.is_set = True
