"""Selects the renderer by ``format=``, then ``Accept``; JSON if nothing acceptable is available.

Selects the parser by ``Content-Type``; JSON if it does not tell: no route takes a form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.mediatypes import _MediaType

from fonproxy.api.errors import FieldError, InvalidInput

FORM: Final = "application/x-www-form-urlencoded"


class FormatNegotiation(DefaultContentNegotiation):
    """Replaces DRF's negotiation, which ignores ``q``; keeps its bounds on the header's length and number of types."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Clients often omit the type of JSON, or use curl, which then calls it a form."""
        has_type = request.content_type.partition(";")[0].strip().lower() not in ("", FORM)
        return super().select_parser(request, parsers) if has_type else next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderers = list(renderers)
        asked = request.query_params.getlist("format")
        if asked and asked != [""]:
            for renderer in renderers:
                if asked == [renderer.format]:
                    return renderer, renderer.media_type
            names = " or ".join(dict.fromkeys(str(renderer.format) for renderer in renderers))
            raise InvalidInput("The format is unknown.", errors=[FieldError("format", f"Must be {names}, once.")])
        accepted = [_MediaType(text) for text in self.get_accept_list(request)]
        wanted = max(renderers, key=lambda renderer: _rank(renderer, accepted))  # the first of equally good ones
        return wanted, wanted.media_type


def _rank(renderer: BaseRenderer, accepted: Iterable[_MediaType]) -> tuple[float, int]:
    """The ``q`` of the most specific accepted type that matches the renderer, and its specificity (RFC 9110)."""
    own = _MediaType(renderer.media_type)
    precedence, quality = max(
        ((kind.precedence, _quality(kind)) for kind in accepted if own.match(kind)), default=(0, 0.0)
    )
    return (quality, precedence) if quality else (0.0, 0)


def _quality(kind: _MediaType) -> float:
    try:
        quality = float(kind.params.get("q", 1))
    except ValueError:
        return 1.0
    return quality if 0 <= quality <= 1 else 1.0
