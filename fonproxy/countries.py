"""Which two letters name a country, and how it is called."""

from __future__ import annotations

from typing import Final

from django_countries import countries
from django_countries.data import COUNTRIES

# Kosovo has no code in ISO 3166, but everybody who maps addresses uses this one.
CODES: Final = frozenset(COUNTRIES) | {"XK"}


def is_country(code: str) -> bool:
    """Whether ISO 3166 knows the code, in capital letters."""
    return code in CODES


def name_of(code: str) -> str:
    """The country's usual English name; ``Unknown`` for ``XX`` and whatever else is no country."""
    return str(countries.name(code) or "Unknown")
