"""Sizes as text."""

from __future__ import annotations

import pytest

from fonproxy.units import amount

SIZES = {
    0: "0 bytes",
    1023: "1,023 bytes",
    1024: "1 kB",
    1536: "1.50 kB",
    2**20 - 1: "1,024 kB",
    10 * 2**20: "10 MB",
    2**30: "1 GB",
    8 * 2**30 + 2**29: "8.50 GB",
    5000 * 2**30: "5,000 GB",
    -512: "-512 bytes",
    -3 * 2**29: "-1.50 GB",
}


@pytest.mark.parametrize(("size", "text"), SIZES.items())
def test_an_amount_is_formatted_in_a_fitting_unit(size: int, text: str) -> None:
    assert amount(size) == text
