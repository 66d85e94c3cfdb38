"""Request bodies of a few fields. Intake routes read theirs by themselves."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any, Final

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from fonproxy.api.errors import TooLarge

MAX_BYTES: Final = 64 * 2**10


class SmallJsonParser(JSONParser):
    """JSON of at most 64 KiB, so that nobody makes us hold more before knowing who they are."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise TooLarge(f"The body may hold at most {MAX_BYTES // 2**10} KiB.")
        try:
            return super().parse(io.BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
