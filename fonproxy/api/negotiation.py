"""Which renderer answers: ``format=`` first, then ``Accept``; a client that accepts nothing we have gets JSON."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from fonproxy.api.errors import FieldError, InvalidInput


class FormatNegotiation(DefaultContentNegotiation):
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
        try:
            selected: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
            return selected
        except NotAcceptable:
            return renderers[0], renderers[0].media_type
