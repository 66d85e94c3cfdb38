"""Django's registration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "dashboard"

    def ready(self) -> None:
        from fonproxy import pages

        pages.register("/dashboard", "/docs/guide", "/proxies")
