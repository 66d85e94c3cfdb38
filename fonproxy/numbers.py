"""Integers in text: ASCII digits, few enough that the number fits into 64 bits."""

from __future__ import annotations

import re
from typing import Final

WHOLE_NUMBER: Final = re.compile("[0-9]{1,18}")
INTEGER: Final = re.compile(f"-?{WHOLE_NUMBER.pattern}")
