"""System checks of the geo app."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core import checks


@checks.register
def country_database_exists(**_: Any) -> list[checks.CheckMessage]:
    """Warns about a missing country database; the file is used once it exists."""
    if settings.GEOIP_DATABASE and not os.path.exists(settings.GEOIP_DATABASE):
        return [checks.Warning(f"GEOIP_DATABASE names no file: {settings.GEOIP_DATABASE}", id="geo.W001")]
    return []
