"""Django's registration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class GeoConfig(AppConfig):
    name = "geo"

    def ready(self) -> None:
        from fonproxy.api import families
        from geo import checks, metrics  # noqa: F401  # importing checks registers them

        metrics.register()
        families.register(families.Family("geo", ("/geo/",), families.fonproxy_error, any_origin=True))
