"""Addresses and times read from the text of an abuse report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import abuse_text
from analytics.abuse_text import InvalidReport, ReportedUse
from fonproxy.timerange import UTC_ZONE

BERLIN = ZoneInfo("Europe/Berlin")
MARGIN = timedelta(minutes=15)
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
PERIOD = (NOON, NOON + timedelta(hours=1))


def read(text: str, zone: ZoneInfo = UTC_ZONE, period: tuple[datetime, datetime] | None = None) -> list[ReportedUse]:
    return abuse_text.read(text, zone, MARGIN, period)


def middles(text: str, zone: ZoneInfo = UTC_ZONE) -> list[datetime]:
    return [use.since + MARGIN for use in read(text, zone)]


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-30 12:00:00",
        "2026-11-30T12:00:00Z",
        "2026-11-30T13:00:00+01:00",
        "2026-11-30 07:00:00.123 -0500",
        "2026/11/30 13:00 CET",
        "2026-11-30, 12:00:00 (UTC)",
        "30/Nov/2026:12:00:00 +0000",
        "Mon, 30 Nov 2026 13:00:00 +0100",
        "30-Nov-2026 04:00:00 PST",
        "1796040000",
        "1796040000.5",
        "1796040000123",
    ],
)
def test_times_are_read_with_their_zones(written: str) -> None:
    assert middles(f"198.51.100.7 {written} GET /") == [NOON]
    assert middles(f'"{written}",198.51.100.7,22') == [NOON]


def test_a_time_without_a_zone_is_in_the_chosen_zone() -> None:
    assert middles("198.51.100.7 2026-11-30 13:00", BERLIN) == [NOON]
    assert middles("198.51.100.7 2026-07-30 14:00", BERLIN) == [datetime(2026, 7, 30, 12, tzinfo=UTC)]
    assert middles("198.51.100.7 2026-11-30 12:00 UTC", BERLIN) == [NOON]


def test_a_date_is_a_day_in_the_chosen_zone_and_two_times_are_a_range() -> None:
    [day] = read("198.51.100.7 on 2026-11-30", BERLIN)
    assert (day.since + MARGIN, day.before - MARGIN) == (
        datetime(2026, 11, 29, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, 0, 0, 1, tzinfo=UTC),
    )  # fmt: skip
    [pair] = read("198.51.100.7,2026-11-30 12:00:00,2026-11-30 14:30:00")
    assert pair.before - pair.since == timedelta(hours=3, microseconds=1)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198[.]51[.]100[.]7", "198.51.100.7"),
        ("198.51.100.7:443", "198.51.100.7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("src=2001:DB8::7,", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7/128", "198.51.100.7"),
        ("::ffff:c633:6407/128", "198.51.100.7"),
        ("::ffff:198.51.100.9/120", "198.51.100.0/24"),
        ("198.51.100.0/24", "198.51.100.0/24"),
        ("198.51.100.9/24", "198.51.100.0/24"),
        ("198.51.100.0 - 198.51.100.255", "198.51.100.0/24"),
        ("198.51.100.1-198.51.100.9", "198.51.100.1 - 198.51.100.9"),
        ("2001:db8::/48", "2001:db8::/48"),
        ("attack from 198.51.100.7.", "198.51.100.7"),
    ],
)
def test_addresses_networks_and_ranges_are_read(written: str, name: str) -> None:
    assert [use.name for use in read(f"{written} 2026-11-30 12:00:00")] == [name]
    assert [use.name for use in read(written, period=PERIOD)] == [name]


@pytest.mark.parametrize(
    "written",
    [
        "1.2.3.400",
        "1.2.3",
        "1.2.3.4.5",
        "12:00:00",
        "fe80::1%eth0",
        "a:b",
        "::::",
        "std::map",
        "::/32",
        "::1",
        "::ffff:1.2.3.4/95",
        "::ffff:1.2.3.4/129",
    ],
)
def test_text_that_is_not_an_address_is_ignored(written: str) -> None:
    names = [use.name for use in read(f"{written}\n192.0.2.1", period=PERIOD)]
    assert [name for name in names if name not in ("192.0.2.1", "fe80::1")] == []


def test_addresses_without_a_time_use_times_from_lines_without_an_address() -> None:
    mail = "Date: Mon, 30 Nov 2026 12:00:00 +0000\nSource-IP: 198.51.100.7\nSource-IP: 198.51.100.8\n"
    assert [(use.name, use.since + MARGIN) for use in read(mail, period=PERIOD)] == [
        ("198.51.100.7", NOON),
        ("198.51.100.8", NOON),
    ]


def test_addresses_without_any_time_use_the_given_period() -> None:
    [use] = read("198.51.100.7", period=PERIOD)
    assert (use.since, use.before) == PERIOD


def test_many_lines_about_an_address_are_one_use_if_their_times_overlap() -> None:
    lines = [f"2026-11-30 12:{minute:02}:00 198.51.100.7 failed login" for minute in range(60)]
    lines.append("2026-11-30 18:00:00 198.51.100.7 failed login")
    uses = read("\n".join(lines))
    assert [use.before - use.since for use in uses] == [
        timedelta(minutes=89, microseconds=1), timedelta(minutes=30, microseconds=1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "No address was found in the text."),
        ("on 2026-11-30 12:00:00 somebody did something", "No address was found"),
        ("hello\n198.51.100.7", "Line 2 has an address, but no line has a time: fill in the time."),
        ("198.51.100.9 - 198.51.100.1 2026-11-30", "Line 1: the range 198.51.100.9 - 198.51.100.1 does not end"),
        ("10.0.0.0/8 2026-11-30", "Line 1: a range may have a /16 at most."),
        ("2001:db8::/31 2026-11-30", "a range may have a /32 at most."),
        ("::ffff:10.0.0.0/104 2026-11-30", "a range may have a /16 at most."),
        ("198.51.100.7 2026-01-01 2026-11-30", "are more than 92 days apart."),
        ("x" * 200_001, "longer than 200,000 characters"),
        ("\n".join(f"198.51.{n // 250}.{n % 250} 2026-11-30" for n in range(201)), "more than 200"),
        (
            "\n".join([*(f"198.51.100.{n}" for n in range(99)), "2026-11-30 12:00", "2026-11-28 12:00", "2026-11-26"]),
            "more than 200",
        ),
    ],
)
def test_an_impossible_query_is_refused_with_a_message(text: str, sentence: str) -> None:
    with pytest.raises(InvalidReport, match=sentence.replace(".", r"\.").replace("(", r"\(")):
        read(text)


@pytest.mark.parametrize("written", ["2026-02-30 12:00:00", "0000-00-00 00:00", "2026-11-30 25:61", "9999999999999"])
def test_an_impossible_time_is_ignored(written: str) -> None:
    [use] = read(f"198.51.100.7 {written}", period=PERIOD)
    assert (use.since, use.before) == PERIOD


PIECES = st.lists(
    st.sampled_from(
        ["198.51.100.7", "2001:db8::1", "/24", "-", ":", "::", ".", "2026-11-30", " 12:00:00", "Z", "+99:99", "CET",
         "30", "Nov", "/", "9", "f", "[", "]", "\n", "1796040000", "\0", "\u0661", "%eth0"]
    ),
    max_size=60,
)  # fmt: skip


@given(PIECES.map("".join))
def test_no_text_raises_an_unexpected_error(text: str) -> None:
    try:
        uses = read(text, period=PERIOD)
    except InvalidReport:
        return
    assert all(use.since < use.before and int(use.first) <= int(use.last) for use in uses)
