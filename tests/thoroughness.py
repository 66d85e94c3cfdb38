"""How long tests with random inputs or moments run, and whether each run draws new ones.

The suite tries a tenth of what ``make test-properties`` tries, and draws the same each time: a failed run can be
repeated, and a change is not blamed for something that it did not break.
"""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import settings

IS_THOROUGH: Final = bool(os.environ.get("THOROUGH"))

# Run again by `make test-properties`, with all examples.
drawn = pytest.mark.properties

if not IS_THOROUGH:
    current = settings.get_profile(settings.get_current_profile_name())
    settings.register_profile("reproducible", current, derandomize=True)
    settings.load_profile("reproducible")


def examples(thorough: int) -> int:
    return thorough if IS_THOROUGH else -(-thorough // 10)
