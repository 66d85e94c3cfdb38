"""What staff make of raw counts before the public sees them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

ANY_COUNTRY: Final = "*"

Factors = Mapping[tuple[str, str, str], Decimal]
"""(proxy type, pool, country or ``*``) -> factor."""


def factor_for(factors: Factors, proxy_type: str, pool: str, country: str) -> Decimal:
    """The country's own factor, else that of all countries of the pool, else 1: factors do not stack."""
    own = factors.get((proxy_type, pool, country))
    return own if own is not None else factors.get((proxy_type, pool, ANY_COUNTRY), Decimal(1))


def public_count(raw: int, factor: Decimal) -> int:
    """Raw times factor, halves rounded up."""
    return int((raw * factor).quantize(Decimal(1), ROUND_HALF_UP))
