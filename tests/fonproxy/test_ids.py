"""Published ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fonproxy import ids
from tests.steps import instructions

numbers = st.integers(0, 10**9)


@given(numbers)
def test_an_id_decodes_only_within_its_kind(number: int) -> None:
    text = ids.encode("order", number)
    assert (ids.decode("order", text), ids.decode("user", text), ids.decode("key", text)) == (number, None, None)


@given(st.integers(0, 2**40), st.text("abc", min_size=1))
def test_every_id_has_ten_characters(number: int, kind: str) -> None:
    assert len(ids.encode(kind, number)) == 10


@pytest.mark.parametrize("prefix", ["", "sub_"])
def test_a_long_text_costs_no_more_than_a_short_one(prefix: str) -> None:
    def cost(length: int) -> int:
        return instructions(lambda: ids.decode("order", prefix + "a" * length, prefix))

    assert ids.decode("order", prefix, prefix) is None
    assert cost(60_000) == cost(20)


@given(numbers, st.text(max_size=3))
def test_only_the_exact_text_is_an_id(number: int, extra: str) -> None:
    text = ids.encode("order", number)
    assert not extra or ids.decode("order", text + extra) != number
    assert ids.decode("order", text.swapcase()) != number


@given(st.text(max_size=40))
def test_any_text_is_decoded_without_an_error(text: str) -> None:
    number = ids.decode("order", text)
    assert number is None or ids.encode("order", number) == text


@pytest.mark.parametrize("number", [2**40 + 1, 2**63, 2**70])
def test_an_impossible_row_number_has_no_id(number: int) -> None:
    assert ids.decode("order", ids.encode("order", number)) is None
