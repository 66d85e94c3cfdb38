"""Django's registration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        from fonproxy import pages
        from fonproxy.api import families
        from orders import traffic
        from usage import erasure, metrics
        from usage.alerts import services
        from usage.traffic_reader import TrafficTables
        from usage.weproxies.family import WEPROXIES

        erasure.register()
        traffic.register(TrafficTables())
        metrics.register()
        services.register()
        families.register(WEPROXIES)
        pages.register("/alerts/unsubscribe")
        pages.register("/reports/unsubscribe")
