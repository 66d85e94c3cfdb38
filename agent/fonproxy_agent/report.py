"""Reports of the shipper as text: for the whole run, and for each minute while it follows a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from fonproxy_agent.chunks import ChunkContent, SkipReason
from fonproxy_agent.request import LineError

LINES_NAMED: Final = 10
LOGINS_NAMED: Final = 20
# Attackers choose the logins of failed sign-ins, so further ones are counted together.
LOGINS_COUNTED: Final = 1_000


class ShipReport:
    """Counts since its creation."""

    def __init__(self) -> None:
        self.lines = 0
        self.ignored = 0
        self.shipped = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.errors: Counter[LineError] = Counter()
        self.named_errors: list[tuple[int, LineError]] = []
        self.left_out: dict[SkipReason, Counter[str]] = {reason: Counter() for reason in SkipReason}
        self.of_further_logins: Counter[SkipReason] = Counter()

    def add(self, content: ChunkContent, lines_before: int) -> None:
        self.lines += content.lines
        self.ignored += content.ignored
        self.shipped += content.shipped
        self.bytes_sent += content.bytes_sent
        self.bytes_received += content.bytes_received
        for (reason, login), count in content.left_out.items():
            counts = self.left_out[reason]
            if login in counts or len(counts) < LOGINS_COUNTED:
                counts[login] += count
            else:
                self.of_further_logins[reason] += count
        for position, error in content.errors:
            self.errors[error] += 1
            if len(self.named_errors) < LINES_NAMED:
                self.named_errors.append((lines_before + position + 1, error))

    @property
    def has_left_out(self) -> bool:
        return self.shipped + self.ignored < self.lines

    def sentences(self) -> Iterator[str]:
        yield (
            f"{self.lines:,} lines: {self.shipped:,} requests shipped, {self.bytes_received:,} bytes to and "
            f"{self.bytes_sent:,} bytes from customers."
        )
        if self.ignored:
            yield f"{self.ignored:,} lines are not about a request's end."
        for reason in SkipReason:
            yield from self._sentences_for(reason)
        if unreadable := self.errors.total():
            yield f"{unreadable:,} lines ({unreadable / self.lines:.1%}) could not be read:"
            for error, count in self.errors.most_common():
                yield f"  {count:,} times: the line {error}"
            for line, error in self.named_errors:
                yield f"  line {line:,} {error}"

    def left_out_for(self) -> Iterator[tuple[SkipReason, int]]:
        """The requests left out, by reason."""
        for reason in SkipReason:
            yield reason, self.left_out[reason].total() + self.of_further_logins[reason]

    def _sentences_for(self, reason: SkipReason) -> Iterator[str]:
        counts = self.left_out[reason]
        for login, count in counts.most_common(LOGINS_NAMED):
            yield f"{count:,} requests {reason}{f' {login!r}' if login else ''} were left out."
        further = counts.total() - sum(count for _, count in counts.most_common(LOGINS_NAMED))
        further += self.of_further_logins[reason]
        if further:
            yield f"{further:,} requests {reason} further logins were left out."
