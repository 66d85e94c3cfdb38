"""Ships a log, chunk by chunk, so that each line is counted once whatever dies when.

The state file says which chunk is next before it is sent, and that it was taken afterwards. A process that dies …

* before the chunk is fixed: the next run reads from the same place;
* after that, before the answer is noted: the next run builds the same bytes from the same lines and sends them under
  the same key, which the server counts once;
* after the answer was noted: the next run goes on behind it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import fields, replace

from analytics.squid import chunks
from analytics.squid.chunks import Content
from analytics.squid.files import Cut, LogFile, Rotation
from analytics.squid.lines import Fault
from analytics.squid.rows import to_body
from analytics.squid.server import ADDED_UP, RAW, Answer, BadRow, Outcome, Server
from analytics.squid.state import Chunk, Identity, State, Stop, Store, Totals

# The server remembers a key for 24 hours; an hour less leaves room for clocks that differ.
KEY_REMEMBERED_SECONDS: Final = 23 * 3600.0
REFRESH_SECONDS: Final = 3600.0
POLL_SECONDS: Final = 1.0
# How long nobody must have written to a rotated log before it is taken for finished.
QUIET_SECONDS: Final = 5.0
SEARCHES: Final = 5
SEARCH_SECONDS: Final = 0.2
FILES_REMEMBERED: Final = 100
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
PATIENCE_SECONDS: Final = 300.0
FAULTS_NAMED: Final = 10


class Patience:
    """Waiting that a signal may end. Its handler only sets a flag: it may run while any lock is held."""

    def __init__(self) -> None:
        self.is_over = False

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.is_over and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))


class Report:
    """What this run did, for people."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.faults: Counter[Fault] = Counter()
        self.named_faults: list[tuple[int, Fault]] = []
        self.unknown: Counter[str] = Counter()

    def add(self, content: Content, first_line: int) -> None:
        self.totals = self.totals.plus(content.totals)
        self.unknown += content.unknown
        for position, fault in content.faults:
            self.faults[fault] += 1
            if len(self.named_faults) < FAULTS_NAMED:
                self.named_faults.append((first_line + position + 1, fault))


class Shipper:
    """One log, one server. ``say`` gets sentences about what is going on, ``progress`` the bytes of each chunk done."""

    def __init__(
        self,
        rotation: Rotation,
        server: Server,
        *,
        worker: str,
        is_raw: bool,
        follow: bool,
        patience: Patience,
        say: Callable[[str], object],
        progress: Callable[[int], object],
    ) -> None:
        self._rotation = rotation
        self._server = server
        self._worker = worker
        self._is_raw = is_raw
        self._follow = follow
        self._patience = patience
        self._say = say
        self._progress = progress
        self._store = Store(rotation.path)
        self._is_in_doubt = True  # an earlier run may have sent what the state file tells of
        self.report = Report()

    def run(self) -> None:
        """Returns at the end of the log, or when told to stop; raises Stop when it cannot go on."""
        with self._store.locked():
            state = self._store.load()
            if state.chunk is not None:
                self._refuse_forgotten(state.chunk)
            while not self._patience.is_over:
                log, state = self._open(state)
                if log is None:
                    if not self._pause():
                        return
                    continue
                try:
                    following = self._step(log, state)
                finally:
                    log.close()
                if following is not None:
                    state = following
                elif not self._pause():
                    return

    def _pause(self) -> bool:
        """Waits for more to be written; False when nobody asked to follow the log."""
        if self._follow:
            self._patience.wait(POLL_SECONDS)
        return self._follow

    def _refuse_forgotten(self, chunk: Chunk) -> None:
        if time.time() - chunk.attempted_at > KEY_REMEMBERED_SECONDS:
            sent_at = datetime.fromtimestamp(chunk.attempted_at, UTC)
            raise Stop(
                f"Bytes {chunk.start} to {chunk.end} of the log were being sent at {sent_at:%Y-%m-%d %H:%M} UTC and no "
                "answer was noted; the server no longer remembers whether it took them. Look whether their requests "
                f'are counted. If they are, set "offset" to {chunk.end} and "chunk" to null in {self._store.path}; if '
                'they are not, set only "chunk" to null. Then start again.'
            )

    # --- which file -------------------------------------------------------------------------------------------------

    def _open(self, state: State) -> tuple[LogFile | None, State]:
        """The file that the state is about, or the log itself at the first run."""
        if state.file is None:
            log = self._rotation.current()
            if log is None and not self._follow:
                raise Stop(f"There is no file {self._rotation.path}.")
            return log, state if log is None else replace(state, file=log.identity())
        least = state.chunk.end if state.chunk else state.offset
        for _ in range(SEARCHES):
            if log := self._rotation.find(state.file, least):
                return log, state
            self._patience.wait(SEARCH_SECONDS)  # it may be under way to another name
        return self._after_loss(state)

    def _after_loss(self, state: State) -> tuple[LogFile | None, State]:
        """The file is gone, or shorter than what was read of it: what followed cannot be known."""
        assert state.file is not None
        log = self._rotation.next_after(state.file, state.done) or self._rotation.current()
        if log is None:
            return None, state
        doubt = f" Bytes {state.chunk.start} to {state.chunk.end} were being sent." if state.chunk else ""
        self._say(
            f"The file that was read up to byte {state.offset} is gone, compressed or cut: what was written to it "
            f"after that is not shipped.{doubt} Going on with {log.path} from its start."
        )
        state = State(file=log.identity(), totals=state.totals, done=state.done)
        self._store.save(state)
        return log, state

    # --- one chunk --------------------------------------------------------------------------------------------------

    def _step(self, log: LogFile, state: State) -> State | None:
        """Ships the next chunk, or moves to the next file; None when there is nothing to do for now."""
        if state.chunk is None:
            return self._fix_next(log, state)
        return self._ship(log, state, state.chunk)

    def _fix_next(self, log: LogFile, state: State) -> State | None:
        identity = log.identity()
        newer = self._rotation.next_after(identity, state.done)
        # Whoever rotates a log may go on writing to the old file for a moment.
        is_complete = newer is not None and time.time() - log.changed_at > QUIET_SECONDS
        try:
            end = log.end_of_chunk(state.offset, is_complete=is_complete)
            if end > state.offset:
                state = replace(state, file=identity, chunk=self._chunk(identity, state.offset, end))
            elif newer is not None and is_complete:
                done = (*state.done, identity.first)[-FILES_REMEMBERED:]
                state = replace(state, file=newer.identity(), offset=0, line=0, done=done)
            elif newer is not None:
                self._patience.wait(POLL_SECONDS)
                return state
            else:
                if not self._follow and log.size > state.offset:
                    self._say("The last line is unfinished: it is left for the next run.")
                return None
        finally:
            if newer is not None:
                newer.close()
        self._store.save(state)
        self._is_in_doubt = False
        return state

    def _chunk(self, file: Identity, start: int, end: int) -> Chunk:
        # The same piece always has the same key, also for a shipper whose state file was lost.
        key = hashlib.sha256(f"{file.first} {start} {end}".encode()).hexdigest()
        return Chunk(
            start=start,
            end=end,
            key=f"squid {key}",
            worker=self._worker,
            attempted_at=time.time(),
            is_raw=self._is_raw,
        )

    def _ship(self, log: LogFile, state: State, chunk: Chunk) -> State | None:
        try:
            content = chunks.read(log, chunk)
        except Cut:
            content = None
        if content is None or (state.file and log.identity().first != state.file.first):
            return state  # copied and cut while it was read: what it held is looked for again
        if content.rows:
            answer = self._push(content, state, chunk)
            if answer is None:
                return None  # told to stop
            if answer.outcome is Outcome.BAD_ROWS:
                state = replace(state, chunk=_without(chunk, content, answer))
                self._store.save(state)
                return state
        self.report.add(content, state.line)
        settled = State(
            file=state.file,
            offset=chunk.end,
            line=state.line + content.totals.lines,
            totals=state.totals.plus(content.totals),
            done=state.done,
        )
        self._store.save(settled)
        self._progress(chunk.end - chunk.start)
        return settled

    def _push(self, content: Content, state: State, chunk: Chunk) -> Answer | None:
        """The server's final answer, however long it takes; None when told to stop before."""
        body = to_body(content.rows)
        began = time.monotonic()
        pause = FIRST_PAUSE
        while not self._patience.is_over:
            if self._is_in_doubt:
                self._refuse_forgotten(chunk)
            answer = self._server.push(RAW if chunk.is_raw else ADDED_UP, body, chunk.key)
            if answer.outcome in (Outcome.TAKEN, Outcome.BAD_ROWS):
                return answer
            self._is_in_doubt |= answer.outcome is Outcome.IN_DOUBT
            if not self._follow and time.monotonic() - began > PATIENCE_SECONDS:
                raise Stop(f"Gave up: {answer.text}. Start again to go on where this ended.")
            if not self._is_in_doubt and time.time() - chunk.attempted_at > REFRESH_SECONDS:
                chunk = replace(chunk, attempted_at=time.time())
                self._store.save(replace(state, chunk=chunk))
            wait = max(pause, answer.wait)
            self._say(f"Trying again in {wait:.0f} s: {answer.text}.")
            self._patience.wait(wait)
            pause = min(pause * 2, LONGEST_PAUSE)
        return None


def _without(chunk: Chunk, content: Content, answer: Answer) -> Chunk:
    """The chunk without what the server will never take. Raises Stop for what leaving out does not mend."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    unknown, too_old, too_new = set(chunk.unknown), chunk.too_old, chunk.too_new
    for bad in answer.bad_rows:
        if not 0 <= (bad.index or 0) < len(content.rows):
            raise Stop(_unmendable(bad))
        row = content.rows[bad.index or 0]
        names = {field.encode_name: field.name for field in fields(row)}
        field = names.get(bad.field)
        if field == "proxy_user":
            unknown.add(row.proxy_user)
        elif field == "ts" and row.ts < now:
            too_old = max(too_old, row.ts)
        elif field == "ts":
            too_new = min(too_new or row.ts, row.ts)
        else:
            raise Stop(_unmendable(bad))
    return replace(chunk, unknown=tuple(sorted(unknown)), too_old=too_old, too_new=too_new)


def _unmendable(bad: BadRow) -> str:
    return f"The server refuses a row for its {bad.field}: {bad.message}"
