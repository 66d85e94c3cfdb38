"""Follows FonProxy's cut-off feed: keeps the stopped logins in a file, and ends their running connections.

The file has one login per line, sorted, and is replaced as a whole. There is no other state: each start reads the feed
from its beginning and applies it to the file. The command for changes therefore also runs once after each start, and
the command that ends connections runs for every stopped login.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from fonproxy_agent import atomic
from fonproxy_agent.client import AgentClient, Unreachable
from fonproxy_agent.config import EnforceConfig
from fonproxy_agent.errors import UsageError
from fonproxy_agent.metrics import MetricsFile
from fonproxy_agent.squid import manager
from fonproxy_agent.waiting import Cancellation

log_messages = logging.getLogger(__name__)

FEED: Final = "/provisioning/exhausted?since={cursor}"
REREAD_SECONDS: Final = 3600.0
MAX_PAUSE: Final = 30.0
COMMAND_SECONDS: Final = 60.0
ENDED_PER_ROUND: Final = 100


class FeedChange(msgspec.Struct, frozen=True):
    """Logins to stop, or to release if ``state`` is active."""

    state: str
    logins: list[str] = msgspec.field(name="proxyUsers")


class FeedPage(msgspec.Struct, frozen=True):
    changes: list[FeedChange]
    cursor: str
    has_more: bool = msgspec.field(name="hasMore", default=False)


def apply(stopped: Iterable[str], changes: Iterable[FeedChange]) -> set[str]:
    """The stopped logins after these changes, applied in order."""
    result = set(stopped)
    for change in changes:
        if change.state == "active":
            result.difference_update(change.logins)
        else:
            result.update(change.logins)
    return result


def read_stopped(path: Path) -> set[str]:
    """The logins of the file; none if it does not exist."""
    try:
        return {line for line in path.read_text().split("\n") if line}
    except FileNotFoundError:
        return set()


class Enforcer:
    def __init__(
        self,
        config: EnforceConfig,
        client: AgentClient,
        squid_manager: str,
        metrics: MetricsFile,
        cancellation: Cancellation,
    ) -> None:
        if not config.stopped_file:
            raise UsageError("Name the file of stopped logins: stopped_file in [enforce].")
        if config.end_connections == "command" and not config.end_command:
            raise UsageError('end_connections = "command" needs end_command in [enforce].')
        self._config = config
        self._client = client
        self._manager = squid_manager
        self._metrics = metrics
        self._cancellation = cancellation
        self._path = Path(config.stopped_file)
        self._stopped = read_stopped(self._path)
        self._cursor = "0"
        self._read_at = float("-inf")
        self._command_is_due = True
        self._to_end: set[str] = set(self._stopped)

    def run(self) -> None:
        """Runs until cancelled. Raises Stop if FonProxy refuses permanently."""
        pause = self._config.interval_seconds
        followed_at = time.time()
        while not self._cancellation.is_set:
            try:
                self._follow()
                followed_at = time.time()
                pause = self._config.interval_seconds
            except Unreachable as problem:
                log_messages.warning(f"{problem}; {len(self._stopped):,} logins stay stopped.")
                pause = min(pause * 2, MAX_PAUSE)
            self._run_command()
            self._end_connections()
            self._metrics.write({"lag_seconds": time.time() - followed_at, "stopped_logins": len(self._stopped)})
            self._cancellation.wait(pause)

    def _follow(self) -> None:
        """Reads the feed to its end and saves the result. From time to time it reads from the beginning again."""
        if time.monotonic() - self._read_at > REREAD_SECONDS:
            self._cursor = "0"
        cursor, stopped = self._cursor, self._stopped
        while not self._cancellation.is_set:
            page = self._client.get(FEED.format(cursor=cursor), FeedPage)
            stopped = apply(stopped, page.changes)
            cursor = page.cursor
            if not page.has_more:
                break
        else:
            return
        self._save(stopped)
        if self._cursor == "0":
            self._read_at = time.monotonic()
        self._cursor = cursor

    def _save(self, stopped: set[str]) -> None:
        if stopped == self._stopped and self._path.exists():
            return
        added, removed = sorted(stopped - self._stopped), sorted(self._stopped - stopped)
        atomic.replace(self._path, "".join(f"{login}\n" for login in sorted(stopped)).encode(), 0o644)
        self._stopped = stopped
        self._command_is_due = True
        self._to_end.update(added)
        for login in added:
            log_messages.info(f"Stopped: {login!r}")
        for login in removed:
            log_messages.info(f"Released: {login!r}")

    def _run_command(self) -> None:
        """Runs a command; a failed one runs again in the next round."""
        if self._command_is_due and self._config.on_change:
            self._command_is_due = not _succeeds(self._config.on_change, self._path)

    def _end_connections(self) -> None:
        self._to_end &= self._stopped
        if self._config.end_connections == "command":
            due = sorted(self._to_end)[:ENDED_PER_ROUND]
            self._to_end -= {login for login in due if _succeeds([*self._config.end_command, login], self._path)}
        elif self._config.end_connections == "ss" and self._stopped:
            try:
                for address, port in self._running():
                    _succeeds(["ss", "-K", "dst", address, "dport", "=", str(port)], self._path)
            except manager.ManagerError as problem:
                log_messages.warning(f"Running connections cannot be ended: {problem}.")

    def _running(self) -> Iterator[tuple[str, int]]:
        """The client addresses of running requests of stopped logins."""
        # Collected first, so that Squid's response is not left open while programs run.
        running = {
            (request.client, request.port, request.login)
            for request in manager.active_requests(self._manager)
            if request.login in self._stopped
        }
        for address, port, login in sorted(running):
            log_messages.info(f"Ending a connection of {login!r} from {address}")
            yield address, port


def _succeeds(command: list[str], stopped_file: Path) -> bool:
    """Runs a program without a shell, with the file's path in FONPROXY_STOPPED_FILE."""
    environment = os.environ | {"FONPROXY_STOPPED_FILE": str(stopped_file)}
    environment.pop("FONPROXY_KEY", None)
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log_messages.warning(f"The command {command[0]} did not run: {error}.")
        return False
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        log_messages.warning(f"The command {command[0]} ended with code {done.returncode}. {said}")
    return done.returncode == 0
