"""Static IPs from a CSV file, streamed line by line, with a transaction per few thousand lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Any, Final

from django.core.exceptions import ValidationError

from fonproxy.addresses import canonical
from fonproxy.api.renderers import BYTE_ORDER_MARK
from fonproxy.countries import UNKNOWN, normalized
from geo import static_ips
from geo.models import DEFAULT_POOL, StaticType, is_pool

REQUIRED: Final = ("address", "proxy_type")
COLUMNS: Final = (*REQUIRED, "pool", "geoip_country", "maxmind_country", "available")
CHUNK: Final = 2000
NAMED: Final = 100
_YES_NO: Final = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class NotCsv(Exception):
    """The file is not a valid CSV of static IPs; nothing was changed. The text gives the reason."""


class _Rejected(Exception):
    pass


@dataclass
class Report:
    """The result of an import. ``rejected`` counts by reason; the first hundred are listed with their line."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    named: list[tuple[int, str]] = field(default_factory=list)

    @property
    def rejections(self) -> int:
        return self.rejected.total()

    def reject(self, line: int, reason: str) -> None:
        self.rejected[reason] += 1
        if len(self.named) < NAMED:
            self.named.append((line, reason))


def import_csv(lines: Iterable[str], now: datetime) -> Report:
    """Adds and changes addresses; the last of several lines with the same address wins.

    ``lines`` are text in which bytes that are not UTF-8 are replacement characters. Raises NotCsv when the header is
    invalid, before anything is changed. An interrupted import keeps its progress and can be repeated.
    """
    text = iter(lines)
    first = next(text, "").removeprefix(BYTE_ORDER_MARK)  # Excel's, even before a quote
    reader = csv.reader(chain([first] if first else [], text), delimiter=_delimiter_of(first), strict=False)
    columns = _header(reader)
    report = Report()
    rows = _rows(reader, columns, report)
    while chunk := dict(islice(rows, CHUNK)):
        done = static_ips.upsert(chunk, now)
        report.added += done.added
        report.changed += done.changed
        report.unchanged += done.unchanged
    return report


def _delimiter_of(header: str) -> str:
    """The most frequent one: Excel writes semicolons in countries with a decimal comma, and tabs as text."""
    return max(",;\t", key=header.count)


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        columns = [column.strip().lower() for column in next(reader)]
    except (StopIteration, csv.Error):
        raise NotCsv(f"The file is not CSV in UTF-8. Its first line must name columns: {', '.join(COLUMNS)}.") from None
    if unknown := [column for column in columns if column not in COLUMNS]:
        raise NotCsv(f"Unknown column {unknown[0]!r}. Columns are: {', '.join(COLUMNS)}.")
    if missing := [column for column in REQUIRED if column not in columns]:
        raise NotCsv(f"The column {missing[0]!r} is missing from the first line.")
    if len(set(columns)) < len(columns):
        raise NotCsv("A column is named twice.")
    return columns


def _rows(reader: Any, columns: list[str], report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    while True:
        try:
            cells = next(reader)
            if cells:
                yield _row(cells, columns)
        except StopIteration:
            return
        except _Rejected as rejected:
            report.reject(reader.line_num, str(rejected))
        except csv.Error:
            report.reject(reader.line_num, "cannot be read as CSV")


def _row(cells: list[str], columns: list[str]) -> tuple[str, dict[str, Any]]:
    if any("\0" in cell or "\N{REPLACEMENT CHARACTER}" in cell for cell in cells):
        raise _Rejected("contains a NUL, or bytes that are not UTF-8")
    if len(cells) != len(columns):
        raise _Rejected(f"has {len(cells)} cells instead of {len(columns)}")
    cell = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    try:
        address = canonical(cell["address"])
    except ValueError:
        reason = "has an address with a zone" if "%" in cell["address"] else "has no valid address"
        raise _Rejected(reason) from None
    if cell["proxy_type"] not in StaticType.values:
        raise _Rejected(f"has no proxy type of {', '.join(StaticType.values)}")
    return address, {
        "proxy_type": cell["proxy_type"],
        "pool": _pool(cell.get("pool", "")),
        "geoip_country": _country(cell.get("geoip_country", "")),
        "maxmind_country": _country(cell.get("maxmind_country", "")),
        "is_available": _yes_or_no(cell.get("available", "")),
    }


def _pool(text: str) -> str:
    try:
        is_pool(text or DEFAULT_POOL)
    except ValidationError:
        raise _Rejected("has a pool that is not 1 to 32 of a-z, 0-9, - and _") from None
    return text or DEFAULT_POOL


def _country(text: str) -> str:
    country = normalized(text) if text else ""
    if country == UNKNOWN:
        raise _Rejected("has a country that ISO 3166 does not assign")
    return country


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _YES_NO:
        raise _Rejected("has a value for available that is neither true nor false")
    return _YES_NO[text.lower()]
