"""1 234,5, with a no-break space; dates as in ``en``."""

from __future__ import annotations

DECIMAL_SEPARATOR = ","
THOUSAND_SEPARATOR = "\u00a0"
