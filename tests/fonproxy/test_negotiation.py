"""The response format chosen by the ``Accept`` header."""

from __future__ import annotations

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from fonproxy.api.negotiation import FormatNegotiation
from fonproxy.api.renderers import CsvRenderer, JsonRenderer

CHOSEN = {
    "text/csv": "csv",
    "application/json": "json",
    "text/csv;q=1.0, application/json;q=0.1": "csv",
    "application/json;q=0.1, text/csv": "csv",
    "text/csv;q=0.5, application/json": "json",
    "application/json;q=0.5, */*;q=0.9": "csv",
    "application/json;q=0, */*": "csv",
    "text/csv;q=0, */*": "json",
    "text/csv;q=0": "json",
    "*/*;q=0": "json",
    "text/*": "csv",
    "text/csv, application/json": "json",
    "text/csv, */*": "csv",
    "text/csv, application/json;q=high": "json",
    "text/csv;q=0.5, application/json;q=nan": "json",
    "text/csv;q=0.5, application/json;q=7": "json",
    "text/csv;q=-1, application/json;q=0.9": "csv",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "json",
    "image/png": "json",
    "": "json",
    ";q=,,;;q": "json",
}


@pytest.mark.parametrize(("accept", "chosen"), CHOSEN.items())
def test_the_type_with_the_highest_quality_is_answered(accept: str, chosen: str) -> None:
    request = Request(APIRequestFactory().get("/", headers={"Accept": accept}))
    renderer, media_type = FormatNegotiation().select_renderer(request, [JsonRenderer(), CsvRenderer()])
    assert (renderer.format, media_type) == (chosen, renderer.media_type)
