"""Request bodies: read up to a limit, then decompressed up to the same limit."""

from __future__ import annotations

import zlib
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Final

from django.http import HttpRequest, UnreadablePostError

from fonproxy.api.errors import InvalidInput, TooLarge, UnsupportedEncoding
from fonproxy.units import MIB

CHUNK: Final = MIB
SLICE: Final = 2**12
# The second is the name from before HTTP/1.1, which must still be accepted (RFC 9110).
GZIP_NAMES: Final = ("gzip", "x-gzip")
# bgzip writes one for each 64 KiB. Millions of empty members, a few bytes each, would take half a minute.
MAX_MEMBERS: Final = 10_000
GZIP: Final = 31  # zlib's window size that means gzip with its header and checksum


def read_body(request: HttpRequest, limit: int) -> bytes:
    """The decompressed body, without the byte order mark with which some clients begin JSON.

    Raises TooLarge as soon as more than ``limit`` bytes are read or decompressed.
    """
    encoding = content_encoding(request.headers)
    return unpacked(_read(request, limit), encoding, limit)


def content_encoding(headers: Mapping[str, str]) -> str:
    """The body's encoding in lower case; raises UnsupportedEncoding for others than gzip."""
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", *GZIP_NAMES):
        raise UnsupportedEncoding("The body's Content-Encoding must be gzip, or absent.")
    return encoding


def unpacked(sent: bytes, encoding: str, limit: int) -> bytes:
    """The body as text; raises TooLarge beyond ``limit`` bytes, and InvalidInput for invalid gzip."""
    text = _gunzip(sent, limit) if encoding in GZIP_NAMES else sent
    return text.removeprefix(BOM_UTF8)


def _read(request: HttpRequest, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while part := request.read(CHUNK):
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
    except UnreadablePostError:
        raise InvalidInput("The body ended before it was complete.", code="request.incomplete_body") from None
    return b"".join(parts)


def _gunzip(packed: bytes, limit: int) -> bytes:
    """Decompresses member after member, never more than ``limit`` bytes of output.

    Input is passed in small slices, because each member copies its remaining input.
    """
    parts: list[bytes] = []
    size = position = 0
    members = 1
    member = zlib.decompressobj(GZIP)
    while position < len(packed) or not member.eof:
        if member.eof:
            members += 1
            if members > MAX_MEMBERS:
                raise InvalidInput(f"The body has over {MAX_MEMBERS:,} gzip members.", code="request.invalid_gzip")
            member = zlib.decompressobj(GZIP)
        given = packed[position : position + SLICE]
        try:
            part = member.decompress(given, CHUNK)
        except zlib.error:
            raise InvalidInput("The body is not valid gzip.", code="request.invalid_gzip") from None
        position += len(given) - len(member.unused_data if member.eof else member.unconsumed_tail)
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
        if not given and not part and not member.eof:
            raise InvalidInput("The gzipped body is truncated.", code="request.invalid_gzip")
    return b"".join(parts)


def too_large(limit: int) -> TooLarge:
    size = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 2**10} KiB"
    return TooLarge(f"A body may have at most {size}, both as sent and unpacked.")
