"""What all tests share: property tests have no deadline and may be slow to generate, since machines may be busy."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("fonproxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fonproxy")
