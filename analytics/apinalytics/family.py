"""The family of APInalytics: its path and errors."""

from __future__ import annotations

import re
from typing import Any, Final

from fonproxy.api.families import Family, Problem, in_one_line


def error(problem: Problem) -> dict[str, Any]:
    return {"error": in_one_line(problem)}


# The final slash is optional, and clients write both event and events.
APINALYTICS: Final = Family(
    "apinalytics", ("/1/",), error, aliases=re.compile(r"/1/events|/1/.*[^/]$"), any_origin=True
)
