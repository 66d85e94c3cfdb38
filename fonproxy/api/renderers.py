"""JSON, fast, and CSV for whoever opens a list or a chart in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
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

    The view names its ``csv_columns``, so that an empty answer has a header too, and its file in ``csv_name``; where
    the list lies deeper, ``csv_list`` is its name inside the envelope's ``data``; where there is none, ``csv_rows``
    makes one. A column ``a.b`` is b of the row's a. What is no list stays JSON.
    """

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        context = renderer_context or {}
        response, view = context["response"], context["view"]
        rows = _rows_in(data, view) if response.status_code < 400 else None
        if rows is None:
            response.headers["Content-Type"] = JsonRenderer.media_type
            return JsonRenderer().render(data)
        response.headers["Content-Disposition"] = f'attachment; filename="{view.csv_name}.csv"'
        return write_csv(view.csv_columns, rows).encode()


def _rows_in(data: Any, view: Any) -> Iterable[Mapping[str, Any]] | None:
    if hasattr(view, "csv_rows"):
        made: Iterable[Mapping[str, Any]] = view.csv_rows(data)
        return made
    return _list_in(data, getattr(view, "csv_list", None))


def _list_in(data: Any, name: str | None) -> list[Mapping[str, Any]] | None:
    """The list that an envelope carries, None for what is no list: an error, a single object, nothing."""
    if name is not None:
        found: list[Mapping[str, Any]] | None = data["data"].get(name)
        return found
    values = data.values() if isinstance(data, Mapping) else ()
    return next((value for value in values if isinstance(value, list)), None)


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The whole text of :func:`csv_lines`; a column ``a.b`` is b of the row's a."""
    return "".join(csv_lines(columns, ([_value(row, column) for column in columns] for row in rows)))


def csv_lines(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """RFC 4180 text, line by line; cells that a spreadsheet would run as a formula get an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out)
    for row in chain([header], rows):
        writer.writerow(map(_cell, row))
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def _value(row: Mapping[str, Any], column: str) -> Any:
    value: Any = row
    for name in column.split("."):
        value = value[name]
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if isinstance(value, str | list | tuple) and text.startswith(FORMULA_STARTS) else text
