"""Request bodies of the intake routes: read up to a limit, unpacked as they are read."""

from __future__ import annotations

import zlib
from typing import Final

from django.http import HttpRequest, UnreadablePostError

from fonproxy.api.errors import InvalidInput, TooLarge, UnsupportedEncoding

CHUNK: Final = 2**20
GZIP: Final = 31  # zlib's window size that means gzip with its header and checksum


def read_body(request: HttpRequest, limit: int) -> bytes:
    """The body, unpacked if it is gzipped; TooLarge as soon as more than ``limit`` bytes were sent or unpacked."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise UnsupportedEncoding("The body's Content-Encoding must be gzip, or absent.")
    sent = _read(request, limit)
    return _gunzip(sent, limit) if encoding == "gzip" else sent


def _read(request: HttpRequest, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while part := request.read(CHUNK):
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except UnreadablePostError:
        raise InvalidInput("The body ended before it was complete.", code="request.incomplete_body") from None
    return b"".join(parts)


def _gunzip(packed: bytes, limit: int) -> bytes:
    """Unpacks member after member, never holding more than ``limit`` bytes of output."""
    parts: list[bytes] = []
    size = 0
    rest = packed
    while rest or not parts:
        member = zlib.decompressobj(GZIP)
        try:
            while not member.eof:
                part = member.decompress(rest, CHUNK)
                rest = member.unconsumed_tail
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
                if not part and not rest and not member.eof:
                    raise InvalidInput("The gzipped body is truncated.", code="request.invalid_gzip")
        except zlib.error:
            raise InvalidInput("The body is not valid gzip.", code="request.invalid_gzip") from None
        rest = member.unused_data
    return b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"A body may hold at most {limit // 2**20} MiB, as sent and unpacked.")
