"""JSON, fast, and CSV for whoever opens a list or a chart in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from rest_framework.renderers import BaseRenderer

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class JsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else msgspec.json.encode(data, enc_hook=str)


class CsvRenderer(BaseRenderer):
    """The list inside a family's envelope as CSV with a header line.

    The view names its columns in ``csv_columns``, so that an empty answer has a header too. Errors stay JSON.
    """

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        context = renderer_context or {}
        response, columns = context["response"], getattr(context["view"], "csv_columns", None)
        if response.status_code >= 400 or columns is None:
            response.headers["Content-Type"] = JsonRenderer.media_type
            return JsonRenderer().render(data)
        response.headers["Content-Disposition"] = f'attachment; filename="{context["view"].csv_name}.csv"'
        rows = next(value for value in data.values() if isinstance(value, list))
        return write_csv(columns, rows).encode()


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """RFC 4180 text; cells that a spreadsheet would run as a formula get an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if isinstance(value, str | list | tuple) and text.startswith(FORMULA_STARTS) else text
