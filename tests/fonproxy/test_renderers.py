"""CSV that spreadsheets open correctly."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from fonproxy.api.renderers import byte_order_mark, file_name, write_csv

FULL_WIDTH = ("\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(1)")
SMALL_OR_RAISED = ("\ufe661", "\ufe621", "\ufe631", "\ufe6ba", "\u207a1")
FORMULAS = ("=1+1", "+1", "-1", "@SUM(1)", "\t1", "\r1", *FULL_WIDTH, *SMALL_OR_RAISED)
TEXTS = ("a; b=1", "a;b", ";", "a=1", "münchen.example", "1-1", "", "\uff031", "(1)", "例え.テスト")


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_a_spreadsheet_would_run_is_escaped(text: str) -> None:
    assert _cell(text) == f"'{text}"
    assert _cell([text, "b"]) == f"'{text} b"


@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r\n", ";;"])
def test_formulas_after_a_separator_of_another_country_are_escaped(separator: str) -> None:
    cells = re.split("[;\t\r\n]", _cell(f"a{separator}=1+1{separator}b{separator}\uff1d2"))
    assert list(filter(None, cells)) == ["a", "'=1+1", "b", "'\uff1d2"]


@pytest.mark.parametrize("text", TEXTS)
def test_any_other_text_is_kept(text: str) -> None:
    assert _cell(text) == text


def test_a_negative_number_is_not_escaped() -> None:
    assert _cell(-1) == "-1"


def _cell(value: Any) -> str:
    [_, [cell]] = csv.reader(io.StringIO(write_csv(["column"], [{"column": value}]), newline=""))
    return cell


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), min_size=1))
def test_csv_reads_back_as_written_and_no_cell_is_a_formula(values: list[str]) -> None:
    text = write_csv(["value", "n"], [{"value": value, "n": 1} for value in values])
    _, *rows = csv.reader(io.StringIO(text, newline=""))
    assert [row[0].replace("'", "") for row in rows] == [value.replace("'", "") for value in values]
    cells = [cell for row in rows for cell in re.split("[;\t\r\n]", row[0])]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_numbers_stay_numbers_and_null_is_an_empty_cell() -> None:
    assert write_csv(["a", "b", "c"], [{"a": -5, "b": None, "c": ["x", "y"]}]) == "a,b,c\r\n-5,,x y\r\n"
    assert write_csv(["a", "b"], [{"a": True, "b": False}]) == "a,b\r\ntrue,false\r\n"  # as in JSON


NAMES = {
    "": "traffic.csv",
    "from=2026-11-01&to=2026-11-29": "traffic_2026-11-01_2026-11-29.csv",
    "to=2026-11-29T10:00:00Z&from=2026-11-01 00:00": "traffic_2026-11-01_2026-11-29.csv",
    "start_date=2026-11-01": "traffic_2026-11-01.csv",
    "period_start=2026-11-01&period_end=2026-11-02": "traffic_2026-11-01_2026-11-02.csv",
    "from=2026-09-30T22:00:00Z&to=2026-10-31T23:00:00Z&tz=Europe/Berlin": "traffic_2026-10-01_2026-10-31.csv",
    "from=2026-10-01T00:00:00Z&to=2026-11-01T00:00:00Z&tz=Nowhere": "traffic_2026-10-01_2026-10-31.csv",
    "from=2026-10-01T99:00&to=2026-10-31T00:00:01Z": "traffic_2026-10-01_2026-10-31.csv",
    "min_log_request_datetime=2026-11-30T23:00:00Z&tz=Europe/Berlin": "traffic_2026-12-01.csv",
    "min_log_request_datetime=2026-11-30 10:00:00&max_log_request_datetime=2026-12-01 00:00:00": (
        "traffic_2026-11-30_2026-11-30.csv"
    ),
    'from="; x=y&to=\n': "traffic.csv",
}


@pytest.mark.parametrize(("query", "name"), NAMES.items())
def test_a_file_is_named_by_its_list_and_dates(query: str, name: str) -> None:
    assert file_name("traffic", QueryDict(query)) == name


@pytest.mark.parametrize(("query", "mark"), [("format=csv", "\ufeff"), ("", ""), ("format=json", "")])
def test_only_a_download_begins_with_a_byte_order_mark(query: str, mark: str) -> None:
    assert byte_order_mark(QueryDict(query)) == mark
