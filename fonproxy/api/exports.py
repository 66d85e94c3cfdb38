"""Long downloads: streamed, with a limit per account, over all processes if they share Redis.

An export holds a lease, which it renews while it is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from time import monotonic
from typing import Final

from django.http import StreamingHttpResponse
from redis.exceptions import RedisError

from fonproxy.api.errors import TooBusy
from fonproxy.api.leases import Lease
from fonproxy.api.renderers import attachment

AT_ONCE: Final = 2
LEASE_SECONDS: Final = 120
RENEW_SECONDS: Final = 20
BUSY_SECONDS: Final = 10


class Interrupted(Exception):
    """The reader stalled for longer than the lease, and others took its slot."""


class Export(Iterator[bytes]):
    """The parts of a download. Raises TooBusy when the account already runs the maximum of exports."""

    def __init__(self, account_id: int, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._lease = Lease(f"export:{account_id}", AT_ONCE, LEASE_SECONDS)
        self._renewed_at = monotonic()
        if not self._lease.acquire():
            raise TooBusy(
                f"{AT_ONCE} exports of this account are running. Wait until one has ended.", wait=BUSY_SECONDS
            )

    def __next__(self) -> bytes:
        if monotonic() - self._renewed_at > RENEW_SECONDS:
            self._renewed_at = monotonic()
            with suppress(RedisError):  # a running export continues without it
                if not self._lease.renew():
                    raise Interrupted
        return next(self._parts)

    def close(self) -> None:
        if isinstance(self._parts, Generator):
            self._parts.close()
        self._lease.release()


def streamed(account_id: int, parts: Iterator[bytes], content_type: str, file_name: str) -> StreamingHttpResponse:
    """Reads the first part before the response begins: an unavailable engine is a 503, not a truncated response."""
    export = Export(account_id, parts)
    try:
        first = next(export, b"")
    except BaseException:
        export.close()
        raise
    response = StreamingHttpResponse(_Begun(first, export), content_type=content_type)
    response["Content-Disposition"] = attachment(file_name)
    return response


class _Begun(Iterator[bytes]):
    """An export whose first part has been read; closing the response closes it, even if it was read only in part."""

    def __init__(self, first: bytes, rest: Export) -> None:
        self._first: bytes | None = first
        self._rest = rest
        self.close = rest.close

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        return next(self._rest) if first is None else first
