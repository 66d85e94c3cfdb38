"""Renderers for JSON and, for lists and charts, CSV."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import chain, islice
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from django.http import HttpResponse
from rest_framework.renderers import BaseRenderer
from rest_framework.serializers import Serializer

from fonproxy.timerange import UTC_ZONE, InvalidTime, parse_query_instant, parse_zone

FORMULA_SIGNS: Final = ("=", "+", "-", "@")
FORMULA_STARTS: Final = (*FORMULA_SIGNS, "\t", "\r", "\n")
# Where a spreadsheet may begin a cell, with the character that follows.
SPLIT: Final = re.compile(r"[;\t\r\n](?=([^;\t\r\n]))")
# Makes Excel on Windows read UTF-8. Programs that use ``Accept`` do not get it.
BYTE_ORDER_MARK: Final = "\ufeff"
CSV_TYPE: Final = "text/csv; charset=utf-8"
# Written at a time.
LINES: Final = 1000
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ENDS: Final = ("to", "end_date", "period_end", "max_log_request_datetime")
PERIODS: Final = (
    *("from", "to", "start_date", "end_date", "period_start", "period_end"),
    *("min_log_request_datetime", "max_log_request_datetime"),
)


class JsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else msgspec.json.encode(data, enc_hook=str)


def columns_of(row: type[Serializer[Any]], *, without: Collection[str] = ()) -> tuple[str, ...]:
    """The CSV columns of rows described by this serializer, with dotted names for objects inside a row."""
    columns: list[str] = []
    for name, field in row().fields.items():
        if name not in without:
            nested = columns_of(type(field)) if isinstance(field, Serializer) else ()
            columns += [f"{name}.{inner}" for inner in nested] or [name]
    return tuple(columns)


class CsvRenderer(BaseRenderer):
    """The list inside a family's envelope as CSV with a header line.

    The view names its ``csv_columns``, so that an empty response has a header too, and its file in ``csv_name``. If the
    list is nested, ``csv_list`` is its name inside the envelope's ``data``; if there is no list, ``csv_rows`` creates
    one. A column ``a.b`` is b of the row's a. Non-list responses stay JSON.
    """

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        context = renderer_context or {}
        response, view = context["response"], context["view"]
        rows = _rows_in(data, view) if data is not None and response.status_code < 400 else None
        if rows is None:
            response.headers["Content-Type"] = JsonRenderer.media_type
            return JsonRenderer().render(data)
        query = context["request"].query_params
        response.headers["Content-Disposition"] = attachment(file_name(view.csv_name, query))
        return (byte_order_mark(query) + write_csv(view.csv_columns, rows)).encode()


def byte_order_mark(query: Mapping[str, str]) -> str:
    """The byte order mark of a CSV downloaded from a page; empty for a program that used ``Accept``."""
    return BYTE_ORDER_MARK if query.get("format") == CsvRenderer.format else ""


def attachment(file: str) -> str:
    return f'attachment; filename="{file}"'


def file_name(name: str, query: Mapping[str, str]) -> str:
    """The name of a list with the first and last requested day, in the requested zone."""
    try:
        zone = parse_zone(query.get("tz") or UTC_ZONE.key)
    except InvalidTime:
        zone = UTC_ZONE
    days = [_day(query.get(period, ""), zone, is_end=period in ENDS) for period in PERIODS]
    return f"{'_'.join([name, *filter(None, days)])}.csv"


def _day(text: str, zone: ZoneInfo, *, is_end: bool) -> str:
    """The day of a date or instant; for an end, the day that it completes; empty for any other text."""
    found = DATE.match(text)
    if not found:
        return ""
    try:
        at = parse_query_instant(text, zone).at.astimezone(zone)
    except InvalidTime:
        return found[0]
    return text if DATE.fullmatch(text) else f"{at - timedelta.resolution * is_end:%Y-%m-%d}"


def _rows_in(data: Any, view: Any) -> Iterable[Mapping[str, Any]] | None:
    if hasattr(view, "csv_rows"):
        made: Iterable[Mapping[str, Any]] = view.csv_rows(data)
        return made
    return _list_in(data, getattr(view, "csv_list", None))


def _list_in(data: Any, name: str | None) -> list[Mapping[str, Any]] | None:
    """The list inside an envelope; None if there is none, as in an error or a single object."""
    if name is not None:
        found: list[Mapping[str, Any]] | None = data["data"].get(name)
        return found
    values = data.values() if isinstance(data, Mapping) else ()
    return next((value for value in values if isinstance(value, list)), None)


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The whole text of :func:`csv_lines`; a column ``a.b`` is b of the row's a."""
    return "".join(csv_lines(columns, ([_value(row, column) for column in columns] for row in rows)))


def csv_lines(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """RFC 4180 text, line by line; cells that a spreadsheet would run as a formula are prefixed with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    for row in chain([header], rows):
        writer.writerow(map(_cell, row))
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def csv_file_parts(
    header: Sequence[str], rows: Iterable[Iterable[Any]], mark: str = BYTE_ORDER_MARK
) -> Iterator[bytes]:
    """A file for spreadsheets, some lines at a time."""
    lines = chain([mark], csv_lines(header, rows))
    while part := "".join(islice(lines, LINES)):
        yield part.encode()


def csv_file(name: str, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> HttpResponse:
    """A download from a page that is small enough to be made at once."""
    headers = {"Content-Disposition": attachment(name)}
    return HttpResponse(b"".join(csv_file_parts(header, rows)), content_type=CSV_TYPE, headers=headers)


def _value(row: Mapping[str, Any], column: str) -> Any:
    value: Any = row
    for name in column.split("."):
        value = value[name]
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | list | tuple):
        return _without_formulas(value if isinstance(value, str) else " ".join(map(str, value)))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _without_formulas(text: str) -> str:
    """The text with an apostrophe before each formula.

    A spreadsheet of a country with decimal commas splits cells at semicolons, and any may at tabs and line breaks.
    """
    marked = f"'{text}" if _plain(text[:1]).startswith(FORMULA_STARTS) else text
    return SPLIT.sub(_marked, marked)


def _marked(split: re.Match[str]) -> str:
    return f"{split[0]}'" if _plain(split[1]).startswith(FORMULA_SIGNS) else split[0]


def _plain(sign: str) -> str:
    """Spreadsheets take full-width, small and raised signs for their ASCII forms."""
    return unicodedata.normalize("NFKC", sign)
