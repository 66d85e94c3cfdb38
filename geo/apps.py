"""The geo app."""

from __future__ import annotations

from django.apps import AppConfig


class GeoConfig(AppConfig):
    name = "geo"

    def ready(self) -> None:
        from geo import checks, metrics  # noqa: F401  # the first registers itself

        metrics.register()
