"""Reasons to exit, and the exit code of each."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1  # somebody has to act: the message says how
    USAGE = 2  # the command line or the configuration is wrong
    TRY_AGAIN = 75  # no fault: the same command continues where this one ended


class Stop(Exception):
    """The agent cannot continue. The text says why and what to do."""

    code = ExitCode.FAILED


class UsageError(Stop):
    code = ExitCode.USAGE


class TryAgain(Stop):
    code = ExitCode.TRY_AGAIN
