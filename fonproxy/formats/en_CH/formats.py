"""30.11.2026; numbers as in ``en``, with apostrophes between thousands."""

from __future__ import annotations

DATE_FORMAT = "d.m.Y"
DATETIME_FORMAT = "d.m.Y H:i"
SHORT_DATE_FORMAT = DATE_FORMAT
SHORT_DATETIME_FORMAT = DATETIME_FORMAT
YEAR_MONTH_FORMAT = "m.Y"
MONTH_DAY_FORMAT = "d.m."

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = "\u2019"
