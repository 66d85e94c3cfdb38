"""11/30/2026; numbers as in ``en``."""

from __future__ import annotations

DATE_FORMAT = "m/d/Y"
DATETIME_FORMAT = "m/d/Y H:i"
SHORT_DATE_FORMAT = DATE_FORMAT
SHORT_DATETIME_FORMAT = DATETIME_FORMAT
YEAR_MONTH_FORMAT = "m/Y"
MONTH_DAY_FORMAT = "m/d"
