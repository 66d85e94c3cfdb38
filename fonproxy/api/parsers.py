"""Parsers of JSON bodies of bounded size. Ingest routes read their own bodies."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any, ClassVar, Final

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from fonproxy.api.body import content_encoding, unpacked
from fonproxy.api.errors import TooLarge
from fonproxy.units import MIB

MAX_BYTES: Final = 64 * 2**10
MAX_ORDER_BYTES: Final = 2 * MIB


class SmallJsonParser(JSONParser):
    """JSON of at most 64 KiB, which bounds memory per request."""

    max_bytes: ClassVar[int] = MAX_BYTES

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        encoding = content_encoding((parser_context or {})["request"].headers)
        sent = stream.read(self.max_bytes + 1)
        if len(sent) > self.max_bytes:
            raise TooLarge(f"The body may have at most {self.max_bytes // 2**10} KiB.")
        body = unpacked(sent, encoding, self.max_bytes)
        try:
            return super().parse(io.BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None


class OrderJsonParser(SmallJsonParser):
    """JSON of at most 2 MiB, for an order with thousands of logins."""

    max_bytes = MAX_ORDER_BYTES
