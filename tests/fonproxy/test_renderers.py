"""CSV that a spreadsheet may open."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fonproxy.api.renderers import write_csv


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), min_size=1))
def test_whatever_is_written_is_read_back_and_no_cell_is_a_formula(values: list[str]) -> None:
    text = write_csv(["value", "n"], [{"value": value, "n": 1} for value in values])
    _, *rows = csv.reader(io.StringIO(text, newline=""))
    assert [row[0].removeprefix("'") for row in rows] == [value.removeprefix("'") for value in values]
    assert not any(row[0].startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_would_be_run_is_escaped(start: str) -> None:
    assert f"'{start}cmd" in write_csv(["domain"], [{"domain": f"{start}cmd"}])


def test_numbers_stay_numbers_and_nothing_is_an_empty_cell() -> None:
    assert write_csv(["a", "b", "c"], [{"a": -5, "b": None, "c": ["x", "y"]}]) == "a,b,c\r\n-5,,x y\r\n"
