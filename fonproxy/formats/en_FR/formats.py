"""1 234,5, with a narrow no-break space, and 30/11/2026."""

from __future__ import annotations

DATE_FORMAT = "d/m/Y"
DATETIME_FORMAT = "d/m/Y H:i"
SHORT_DATE_FORMAT = DATE_FORMAT
SHORT_DATETIME_FORMAT = DATETIME_FORMAT
YEAR_MONTH_FORMAT = "m/Y"
MONTH_DAY_FORMAT = "d/m"

DECIMAL_SEPARATOR = ","
THOUSAND_SEPARATOR = "\u202f"
