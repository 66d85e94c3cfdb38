"""Country codes and names."""

from __future__ import annotations

from typing import Final

from django_countries import countries
from django_countries.data import COUNTRIES

UNKNOWN: Final = "XX"
# Kosovo has no code in ISO 3166; geo databases use this one.
CODES: Final = frozenset(COUNTRIES) | {"XK"}
# Reserved in ISO 3166 for a country that has another code.
ALIASES: Final = {"UK": "GB"}


def is_country(code: str) -> bool:
    """Whether ISO 3166 assigns the code, in capital letters."""
    return code in CODES


def normalized(code: str) -> str:
    """The code in capital letters: ``GB`` for ``UK``, and ``XX`` for codes that ISO 3166 does not assign."""
    code = code.upper()
    code = ALIASES.get(code, code)
    return code if code in CODES else UNKNOWN


def name_of(code: str) -> str:
    """The country's usual English name; ``Unknown`` for ``XX`` and other unassigned codes."""
    return str(countries.name(code) or "Unknown")
