"""What would go wrong later is said at the start."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core import checks


@checks.register
def country_database_exists(**_: Any) -> list[checks.CheckMessage]:
    """A missing file is no reason not to start: it may come later, and is then used."""
    if settings.GEOIP_DATABASE and not os.path.exists(settings.GEOIP_DATABASE):
        return [checks.Warning(f"GEOIP_DATABASE names no file: {settings.GEOIP_DATABASE}", id="geo.W001")]
    return []
