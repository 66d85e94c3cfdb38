"""The arithmetic of multipliers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.multipliers import factor_for, public_count

factors = st.decimals(0, 9999, places=4)


@given(st.integers(0, 2**53), factors)
def test_halves_are_rounded_up(raw: int, factor: Decimal) -> None:
    assert public_count(raw, factor) == floor(raw * Fraction(factor) + Fraction(1, 2))


@pytest.mark.parametrize(
    ("raw", "factor", "public"),
    [(1, "0.5", 1), (3, "0.5", 2), (1, "0.4999", 0), (0, "9", 0), (7, "0", 0), (5, "1", 5), (3, "0.1667", 1)],
)
def test_examples(raw: int, factor: str, public: int) -> None:
    assert public_count(raw, Decimal(factor)) == public


@given(factors, factors)
def test_the_country_s_own_factor_overrides_the_global_one_and_they_do_not_stack(own: Decimal, every: Decimal) -> None:
    given = {("t", "p", "*"): every, ("t", "p", "DE"): own}
    assert factor_for(given, "t", "p", "DE") == own
    assert factor_for(given, "t", "p", "FR") == every
    assert factor_for(given, "t", "other", "DE") == factor_for(given, "other", "p", "DE") == 1


def test_a_country_factor_of_0_hides_the_country_regardless_of_the_global_factor() -> None:
    assert factor_for({("t", "p", "*"): Decimal(2), ("t", "p", "DE"): Decimal(0)}, "t", "p", "DE") == 0
