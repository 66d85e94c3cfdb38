"""Django's registration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "analytics"

    def ready(self) -> None:
        from analytics import erasure, metrics
        from analytics.apinalytics.family import APINALYTICS
        from fonproxy.api import families
        from orders.byteful.family import family

        families.register(APINALYTICS)
        families.register(family("/log/", "/log_summary/", "/analytics/graph", "/analytics/breakdown"))
        families.register(families.Family("fonproxy", ("/analytics/",), families.fonproxy_error))
        erasure.register()
        metrics.register()
