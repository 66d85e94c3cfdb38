"""Addresses and times in the text of an abuse report: a mail, lines of a log, CSV or a plain list. Pure.

For a line with addresses and times, these addresses are looked up at these times: one time is the middle of the margin,
several are the first and last. Addresses on lines without a time are looked up at the times on lines without an
address, otherwise in the period given beside the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from ipaddress import summarize_address_range
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from fonproxy import addresses
from fonproxy.addresses import Address
from fonproxy.timerange import DAY, FIRST_YEAR, LAST_YEAR

MAX_TEXT: Final = 200_000
MAX_ENTRIES: Final = 200
TOO_MANY: Final = f"The report has more than {MAX_ENTRIES} addresses and times. Split it."
MAX_SPAN: Final = timedelta(days=92)
MIN_PREFIX: Final = {4: 16, 6: 32}
ZONES: Final = {
    "Z": 0, "UTC": 0, "GMT": 0, "UT": 0, "WET": 0, "CET": 60, "CEST": 120, "BST": 60, "WEST": 60, "EET": 120,
    "EEST": 180, "MSK": 180, "IST": 330, "JST": 540, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420,
    "MDT": -360, "PST": -480, "PDT": -420,
}  # fmt: skip
RESERVED: Final = 2**96
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_ZONE: Final = rf"(?:\s*(?P<offset>[+-]\d\d:?\d\d\b)|\s*\(?(?P<zone>{'|'.join(ZONES)})\b\)?)?"
_CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d{1,9}|,\d{3}(?![\d/:-]))?)?"
_TIMES: Final = (
    re.compile(rf"\b(?P<year>\d{{4}})[-/](?P<month>\d\d)[-/](?P<day>\d\d)(?:[T ,]\s?{_CLOCK}{_ZONE})?(?![\d:])"),
    re.compile(
        rf"\b(?P<day>\d{{1,2}})[ /-](?P<name>[A-Za-z]{{3}})[ /-](?P<year>\d{{4}})(?:[: ]\s?{_CLOCK}{_ZONE})?(?![\d:])"
    ),
    re.compile(r"(?<![\d.:/])(?P<epoch>[12]\d{9})(?:\d{3}|\.\d{1,9})?(?![\d.:/])"),
)
_IPV4: Final = r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)"
_IPV6: Final = r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![0-9A-Fa-f:.]*[\w:])"
_ADDRESS: Final = rf"(?:{_IPV4}|{_IPV6})"
_NETWORKS: Final = re.compile(
    rf"(?P<first>{_ADDRESS})(?:/(?P<prefix>\d{{1,3}})|\s*(?:-|\u2013|\bto\b)\s*(?P<last>{_ADDRESS}))?"
)

Bounds = tuple[Address, Address]
"""First and last address."""


class InvalidReport(ValueError):
    """The text is a message for the user."""


@dataclass(frozen=True, slots=True)
class ReportedUse:
    """Addresses from ``first`` to ``last`` in ``[since, before)``; both addresses are of one version."""

    first: Address
    last: Address
    since: datetime
    before: datetime

    @property
    def name(self) -> str:
        if self.first == self.last:
            return str(self.first)
        networks = [*summarize_address_range(self.first, self.last)]
        return str(networks[0]) if len(networks) == 1 else f"{self.first} - {self.last}"


class _Span(NamedTuple):
    since: datetime
    before: datetime


def read(text: str, zone: ZoneInfo, margin: timedelta, period: tuple[datetime, datetime] | None) -> list[ReportedUse]:
    """The uses that the text reports, sorted; uses of the same addresses with overlapping times are merged.

    Times without a zone are in ``zone``. ``period`` is for addresses without a time. Raises InvalidReport.
    """
    if len(text) > MAX_TEXT:
        raise InvalidReport(f"The text is longer than {MAX_TEXT:,} characters.")
    found: list[ReportedUse] = []
    timeless: dict[Bounds, int] = {}
    alone: list[_Span] = []
    for number, line in enumerate(_refanged(text).splitlines(), 1):
        spans, rest = _times(line, zone)
        addresses = list(_addresses(rest, number))
        if addresses and spans:
            span = _around(spans, margin)
            found += [ReportedUse(first, last, *span) for first, last in addresses]
        elif addresses:
            timeless |= {pair: number for pair in addresses if pair not in timeless}
        else:
            alone += spans
    found += _at_other_times(timeless, [_around([span], margin) for span in alone], period)
    uses = list(_merged(found))
    if not uses:
        raise InvalidReport("No address was found in the text.")
    if len(uses) > MAX_ENTRIES:
        raise InvalidReport(TOO_MANY)
    for use in uses:
        if use.before - use.since > MAX_SPAN:
            raise InvalidReport(f"The times of {use.name} are more than {MAX_SPAN.days} days apart.")
    return uses


def _refanged(text: str) -> str:
    """Restores addresses such as ``192[.]0[.]2[.]1``, which reports write so that nobody clicks on them."""
    return re.sub(r"[\[({]([.:])[\])}]", r"\1", text).replace("[dot]", ".")


def _times(line: str, zone: tzinfo) -> tuple[list[_Span], str]:
    """The times on a line, and the line without them."""
    spans: list[_Span] = []
    for pattern in _TIMES:
        for match in pattern.finditer(line):
            spans += [span] if (span := _span(match.groupdict(), zone)) else []
        line = pattern.sub(" ; ", line)
    return spans, line


def _span(parts: dict[str, str | None], zone: tzinfo) -> _Span | None:
    """The instant, or the day if there is no clock; None for an impossible date."""
    try:
        if epoch := parts.get("epoch"):
            at = datetime.fromtimestamp(int(epoch), UTC)
            return _Span(at, at)
        name = (parts.get("name") or "").lower()
        month = MONTHS.index(name) + 1 if name else int(parts["month"] or 0)
        hour, minute, second = (int(parts[unit] or 0) for unit in ("hour", "minute", "second"))
        day = datetime(int(parts["year"] or 0), month, int(parts["day"] or 0), tzinfo=_zone(parts, zone))
        local = day.replace(hour=hour, minute=minute, second=min(second, 59))  # it may be a leap second
        if not FIRST_YEAR <= local.year <= LAST_YEAR:
            return None
        at = local.astimezone(UTC)
        return _Span(at, at) if parts["hour"] else _Span(at, (local + DAY).astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _zone(parts: dict[str, str | None], zone: tzinfo) -> tzinfo:
    if offset := parts["offset"]:
        digits = offset.replace(":", "")
        minutes = int(digits[1:3]) * 60 + int(digits[3:5])
        return timezone(timedelta(minutes=-minutes if digits[0] == "-" else minutes))
    if name := parts["zone"]:
        return timezone(timedelta(minutes=ZONES[name]))
    return zone


def _addresses(line: str, number: int) -> Iterator[Bounds]:
    """First and last address of each address, network and range on a line."""
    for match in _NETWORKS.finditer(line):
        try:
            if match["prefix"]:
                bounds = addresses.ends_of_network(f"{match['first']}/{match['prefix']}")
            else:
                bounds = (addresses.parse(match["first"]), addresses.parse(match["last"] or match["first"]))
        except ValueError:
            continue  # a version number such as 1.2.3.400
        if bounds[0].version == 6 and int(bounds[0]) < RESERVED:
            continue  # "::" in a text, or a network of all IPv4 addresses, which are stored mapped into these
        yield _checked(*bounds, number)


def _checked(first: Address, last: Address, number: int) -> Bounds:
    if first.version != last.version or int(first) > int(last):
        raise InvalidReport(f"Line {number}: the range {first} - {last} does not end after its start.")
    most = 2 ** (first.max_prefixlen - MIN_PREFIX[first.version])
    if int(last) - int(first) >= most:
        raise InvalidReport(f"Line {number}: a range may have a /{MIN_PREFIX[first.version]} at most.")
    return first, last


def around(at: datetime, margin: timedelta) -> tuple[datetime, datetime]:
    """The first instant of the margin, and the one after its last."""
    return _around([_Span(at, at)], margin)


def _around(spans: list[_Span], margin: timedelta) -> _Span:
    moment = timedelta(microseconds=1)
    return _Span(min(span.since for span in spans) - margin, max(span.before for span in spans) + margin + moment)


def _at_other_times(
    timeless: dict[Bounds, int],
    alone: list[_Span],
    period: tuple[datetime, datetime] | None,
) -> Iterator[ReportedUse]:
    spans = list(_united(alone)) or ([_Span(*period)] if period else [])
    if timeless and not spans:
        line = min(timeless.values())
        raise InvalidReport(f"Line {line} has an address, but no line has a time: fill in the time.")
    if (
        len(timeless) * len(spans) > MAX_ENTRIES
    ):  # checked before they are created, because the text may have very many of both
        raise InvalidReport(TOO_MANY)
    for first, last in timeless:
        for span in spans:
            yield ReportedUse(first, last, *span)


def _united(spans: list[_Span]) -> Iterator[_Span]:
    """The same times, with overlaps merged."""
    last: _Span | None = None
    for span in sorted(spans):
        if last and span.since <= last.before:
            last = _Span(last.since, max(last.before, span.before))
            continue
        if last:
            yield last
        last = span
    if last:
        yield last


def _merged(uses: list[ReportedUse]) -> Iterator[ReportedUse]:
    by_bounds: dict[Bounds, list[_Span]] = {}
    for use in uses:
        by_bounds.setdefault((use.first, use.last), []).append(_Span(use.since, use.before))
    for first, last in sorted(by_bounds, key=lambda bounds: (bounds[0].version, *map(int, bounds))):
        yield from (ReportedUse(first, last, *span) for span in _united(by_bounds[first, last]))
