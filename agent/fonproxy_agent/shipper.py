"""Ships a log chunk by chunk, so that each line is counted once even if a process dies at any moment.

The state file names a chunk before it is sent, and is updated again once the chunk was accepted. After a crash …

* before the chunk was named, the next run reads from the same place;
* after that but before the answer was saved, the next run builds the same bytes from the same lines and sends them
  under the same idempotency key, which FonProxy counts once;
* after the answer was saved, the next run continues behind the chunk.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import fields, replace

from fonproxy_agent import chunks
from fonproxy_agent.chunks import ChunkContent, Parser
from fonproxy_agent.client import (
    MINUTES_ROUTE,
    REQUESTS_ROUTE,
    AgentClient,
    BadRow,
    PushResult,
    SendOutcome,
    Unreachable,
)
from fonproxy_agent.errors import Stop, TryAgain
from fonproxy_agent.files import LogFile, Rotation, Truncated
from fonproxy_agent.metrics import MetricsFile
from fonproxy_agent.report import ShipReport
from fonproxy_agent.rows import to_body
from fonproxy_agent.sessions import CounterStore, report
from fonproxy_agent.state import Chunk, Identity, ShipperState, StateFile
from fonproxy_agent.waiting import Cancellation

log_messages = logging.getLogger(__name__)

# FonProxy stores a key for 24 hours; one hour less allows for clock differences.
KEY_REMEMBERED_SECONDS: Final = 23 * 3600.0
REFRESH_SECONDS: Final = 3600.0
REPORT_SECONDS: Final = 60.0
# A chunk with this share of unreadable lines stops the shipper, unless it is only a few new lines.
UNREADABLE_SHARE: Final = 0.9
MIN_LINES_JUDGED: Final = 20
POLL_SECONDS: Final = 1.0
# A rotated log is finished when it was not written to for this long.
QUIET_SECONDS: Final = 5.0
SEARCHES: Final = 5
SEARCH_SECONDS: Final = 0.2
FILES_REMEMBERED: Final = 100
FIRST_PAUSE: Final = 1.0
MAX_PAUSE: Final = 60.0
GIVE_UP_SECONDS: Final = 300.0


class Shipper:
    """Ships one log to one FonProxy.

    ``sessions`` has the requests that were reported while they ran, if there are any.
    """

    def __init__(
        self,
        rotation: Rotation,
        parse: Parser,
        client: AgentClient,
        *,
        worker: str,
        is_raw: bool,
        follow: bool,
        delete_finished: bool,
        skip_unreadable: bool,
        sessions: CounterStore | None,
        metrics: MetricsFile,
        cancellation: Cancellation,
    ) -> None:
        self._rotation = rotation
        self._parse = parse
        self._client = client
        self._worker = worker
        self._is_raw = is_raw
        self._follow = follow
        self._delete_finished = delete_finished
        self._skip_unreadable = skip_unreadable
        self._sessions = sessions
        self._metrics = metrics
        self._caught_up_at = time.time()
        self._cancellation = cancellation
        self._state_file = StateFile(rotation.path)
        self._may_be_stored = True  # an earlier run may have sent the chunk of the state file
        self._latest: tuple[Chunk, ChunkContent] | None = None
        self._minute_report = ShipReport()
        self._minute_began = time.monotonic()
        self.report = ShipReport()

    def run(self) -> None:
        """Returns at the end of the log or on cancellation. Raises Stop if it cannot continue."""
        with self._state_file.locked():
            try:
                self._run()
            finally:
                self._write_metrics(at_once=True)

    def _run(self) -> None:
        state = self._state_file.load()
        if state.chunk is not None:
            self._refuse_forgotten(state.chunk)
        while not self._cancellation.is_set:
            self._report_minute()
            self._write_metrics()
            is_followed = self._follow  # lines written before this changed are still read
            log, state = self._open(state)
            if log is None:
                if not self._pause(is_followed=is_followed):
                    return
                continue
            try:
                following = self._step(log, state)
            finally:
                log.close()
            if following is not None:
                state = following
            elif not self._pause(is_followed=is_followed):
                return

    def stop_following(self) -> None:
        """Ends ``run`` at the end of the log. Another thread may call it after its last write to the log."""
        self._follow = False

    def _pause(self, *, is_followed: bool) -> bool:
        """Waits for new lines; False at the end of a log that is not followed."""
        self._caught_up_at = time.time()
        if is_followed:
            self._cancellation.wait(POLL_SECONDS)
        return is_followed

    def _write_metrics(self, *, at_once: bool = False) -> None:
        report = self.report
        values = {
            "lag_seconds": time.time() - self._caught_up_at,
            "lines_total": report.lines,
            "requests_shipped_total": report.shipped,
            "unreadable_lines_total": report.errors.total(),
        }
        values |= {
            f'left_out_total{{reason="{reason.name.lower()}"}}': count for reason, count in report.left_out_for()
        }
        self._metrics.write(values, at_once=at_once)

    def _report_minute(self) -> None:
        """While following, logs once a minute what was left out."""
        if not self._follow or time.monotonic() - self._minute_began < REPORT_SECONDS:
            return
        if self._minute_report.has_left_out:
            for sentence in self._minute_report.sentences():
                log_messages.warning(sentence)
        self._minute_report = ShipReport()
        self._minute_began = time.monotonic()

    def _refuse_forgotten(self, chunk: Chunk) -> None:
        if time.time() - chunk.attempted_at > KEY_REMEMBERED_SECONDS:
            sent_at = datetime.fromtimestamp(chunk.attempted_at, UTC)
            raise Stop(
                f"Bytes {chunk.start} to {chunk.end} of the log were being sent at {sent_at:%Y-%m-%d %H:%M} UTC and no "
                "answer was saved; FonProxy no longer remembers whether it accepted them. Check whether their requests "
                f'are counted. If so, set "offset" to {chunk.end} and "chunk" to null in {self._state_file.path}; '
                'if not, set only "chunk" to null. Then start again.'
            )

    # --- which file -------------------------------------------------------------------------------------------------

    def _open(self, state: ShipperState) -> tuple[LogFile | None, ShipperState]:
        """The file of the state, or the log itself on the first run."""
        if state.file is None:
            log = self._rotation.open(self._rotation.path)
            if log is None and not self._follow:
                raise Stop(f"There is no file {self._rotation.path}.")
            return log, state if log is None else replace(state, file=self._rotation.identity(log))
        least = state.chunk.end if state.chunk else state.offset
        for _ in range(SEARCHES):
            if log := self._rotation.find(state.file, least):
                return log, state
            self._cancellation.wait(SEARCH_SECONDS)  # it may be in the middle of a rotation
        return self._after_loss(state)

    def _after_loss(self, state: ShipperState) -> tuple[LogFile | None, ShipperState]:
        """Continues with the next file if the rest of this one is lost."""
        assert state.file is not None
        following = self._rotation.next_after(state.file, state.done)
        log = self._rotation.open(following[0] if following else self._rotation.path)
        if log is None:
            return None, state
        doubt = f" Bytes {state.chunk.start} to {state.chunk.end} were being sent." if state.chunk else ""
        log_messages.warning(
            f"The file that was read up to byte {state.offset} is gone, compressed or truncated: later lines of it are "
            f"not shipped.{doubt} Continuing with {log.path} from its start."
        )
        state = ShipperState(file=self._rotation.identity(log), done=state.done)
        self._state_file.save(state)
        return log, state

    # --- one chunk --------------------------------------------------------------------------------------------------

    def _step(self, log: LogFile, state: ShipperState) -> ShipperState | None:
        """Ships the next chunk or moves to the next file; None if there is nothing to do for now."""
        if state.chunk is None:
            return self._fix_next(log, state)
        return self._ship(log, state, state.chunk)

    def _fix_next(self, log: LogFile, state: ShipperState) -> ShipperState | None:
        """Saves which chunk or file is next before any of it is sent."""
        identity = self._rotation.identity(log)
        newer = self._rotation.next_after(identity, state.done)
        # The proxy may still write to the old file for a moment after its rotation.
        is_complete = newer is not None and time.time() - log.changed_at > QUIET_SECONDS
        end = log.end_of_chunk(state.offset, is_complete=is_complete)
        if end > state.offset:
            if self._rotation.identity(log).first != identity.first:
                return state  # written for the first time, or truncated, in between: identify it again
            try:
                chunk = self._watched(log, self._chunk(identity, state.offset, end), state)
                if chunk.end == state.offset:
                    return None
                self._refuse_unreadable(self._read(log, chunk), state)
            except Truncated:
                return state
            state = replace(state, file=identity, chunk=chunk)
        elif newer is not None and is_complete:
            done = (*state.done, identity.first)[-FILES_REMEMBERED:]
            state = replace(state, file=newer[1], offset=0, line=0, done=done)
            self._state_file.save(state)
            if self._delete_finished:
                log.path.unlink(missing_ok=True)
            return state
        elif newer is not None:
            self._cancellation.wait(POLL_SECONDS)
            return state
        else:
            if not self._follow and log.size > state.offset:
                log_messages.warning("The last line is unfinished and left for the next run.")
            return None
        self._state_file.save(state)
        self._may_be_stored = False
        return state

    def _watched(self, log: LogFile, chunk: Chunk, state: ShipperState) -> Chunk:
        """The part of the chunk whose sessions are all recorded, with these sessions."""
        if self._sessions is None:
            return chunk
        until = self._sessions.complete_until(time.time())
        until_ms = math.inf if until is None else until * 1000
        first = self._rotation.identity(log).first
        chunk = chunks.find_watched(log, chunk, self._parse, self._sessions, f"{first} {state.line}", until_ms)
        return replace(chunk, key=_key(first, chunk.start, chunk.end))

    def _read(self, log: LogFile, chunk: Chunk) -> ChunkContent:
        if self._latest is None or self._latest[0] != chunk:
            self._latest = chunk, chunks.read(log, chunk, self._parse)
        return self._latest[1]

    def _refuse_unreadable(self, content: ChunkContent, state: ShipperState) -> None:
        """Raises Stop if nearly all lines are unreadable, because the log probably has another format."""
        fewest = MIN_LINES_JUDGED if self._follow or state.offset else 1
        unreadable = len(content.errors)
        if self._skip_unreadable or content.lines < fewest or unreadable < UNREADABLE_SHARE * content.lines:
            return
        position, error = content.errors[0]
        raise Stop(
            f"{unreadable:,} of {content.lines:,} lines cannot be read: line {state.line + position + 1:,} {error}. "
            "Is this the right log, in the right format? None of them was passed over. With --skip-unreadable the "
            "agent leaves such lines out and continues."
        )

    def _chunk(self, file: Identity, start: int, end: int) -> Chunk:
        return Chunk(
            start=start,
            end=end,
            key=_key(file.first, start, end),
            worker=self._worker,
            attempted_at=time.time(),
            is_raw=self._is_raw,
        )

    def _ship(self, log: LogFile, state: ShipperState, chunk: Chunk) -> ShipperState | None:
        try:
            content = self._read(log, chunk)
        except Truncated:
            return state
        if state.file and self._rotation.identity(log).first != state.file.first:
            return state  # copied and truncated during the read: search for its old content again
        if content.ends and not self._report_ends(content):
            return None  # cancelled
        if content.rows:
            answer = self._push(content, state, chunk)
            if answer is None:
                return None  # cancelled
            if answer.outcome is SendOutcome.BAD_ROWS:
                state = replace(state, chunk=_without(chunk, content, answer))
                self._state_file.save(state)
                return state
        self.report.add(content, state.line)
        self._minute_report.add(content, state.line)
        settled = ShipperState(
            file=state.file,
            offset=chunk.end,
            line=state.line + content.lines,
            done=state.done,
        )
        self._state_file.save(settled)
        return settled

    def _report_ends(self, content: ChunkContent) -> bool:
        """Reports the ends of sessions, however long it takes; False if cancelled before that.

        FonProxy counts only increases, so a repetition counts nothing.
        """
        began = time.monotonic()
        pause = FIRST_PAUSE
        while not self._cancellation.is_set:
            try:
                for end, message in report(self._client, content.ends):
                    log_messages.warning(f"FonProxy refuses the end of a session of {end.login!r}: {message}")
                return True
            except Unreachable as problem:
                if not self._follow and time.monotonic() - began > GIVE_UP_SECONDS:
                    raise TryAgain(f"Gave up: {problem}. Start again to continue from here.") from None
                log_messages.warning(f"Retrying in {pause:.0f} s: {problem}.")
            self._cancellation.wait(pause)
            pause = min(pause * 2, MAX_PAUSE)
        return False

    def _push(self, content: ChunkContent, state: ShipperState, chunk: Chunk) -> PushResult | None:
        """FonProxy's final response, however long it takes; None if cancelled before that."""
        body = to_body(content.rows)
        began = time.monotonic()
        pause = FIRST_PAUSE
        while not self._cancellation.is_set:
            if self._may_be_stored:
                self._refuse_forgotten(chunk)
            answer = self._client.push(REQUESTS_ROUTE if chunk.is_raw else MINUTES_ROUTE, body, chunk.key)
            if answer.outcome in (SendOutcome.ACCEPTED, SendOutcome.BAD_ROWS):
                return answer
            self._may_be_stored |= answer.outcome is SendOutcome.UNKNOWN
            if not self._follow and time.monotonic() - began > GIVE_UP_SECONDS:
                raise TryAgain(f"Gave up: {answer.text}. Start again to continue from here.")
            if not self._may_be_stored and time.time() - chunk.attempted_at > REFRESH_SECONDS:
                chunk = replace(chunk, attempted_at=time.time())
                self._state_file.save(replace(state, chunk=chunk))
            wait = max(pause, answer.wait)
            log_messages.warning(f"Retrying in {wait:.0f} s: {answer.text}.")
            self._cancellation.wait(wait)
            pause = min(pause * 2, MAX_PAUSE)
        return None


def _key(first: str, start: int, end: int) -> str:
    """The idempotency key. The same chunk always has the same key, even if the state file was lost."""
    return f"squid {hashlib.sha256(f'{first} {start} {end}'.encode()).hexdigest()}"


def _without(chunk: Chunk, content: ChunkContent, answer: PushResult) -> Chunk:
    """The chunk without the refused logins or times. Raises Stop for any other refusal."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    unknown, too_old, too_new = set(chunk.unknown), chunk.too_old, chunk.too_new
    from_right = chunk.from_right  # an unknown login with spaces is more likely the end of a URL
    for bad in answer.bad_rows:
        if not 0 <= (bad.index or 0) < len(content.rows):
            raise Stop(_refused_row(bad))
        row = content.rows[bad.index or 0]
        names = {field.encode_name: field.name for field in fields(row)}
        field = names.get(bad.field)
        if field == "proxy_user":
            unknown.add(row.proxy_user)
            from_right |= " " in row.proxy_user
        elif field == "ts" and row.ts < now:
            too_old = max(too_old, row.ts)
        elif field == "ts":
            too_new = min(too_new or row.ts, row.ts)
        else:
            raise Stop(_refused_row(bad))
    return replace(chunk, unknown=tuple(sorted(unknown)), too_old=too_old, too_new=too_new, from_right=from_right)


def _refused_row(bad: BadRow) -> str:
    return f"FonProxy refuses a row for its {bad.field}: {bad.message}"
