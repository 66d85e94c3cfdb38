"""Django's registration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"

    def ready(self) -> None:
        from fonproxy.api import families
        from orders import erasure
        from orders.byteful.family import family
        from orders.gateway import openapi  # noqa: F401  # importing it registers its extension with drf-spectacular

        erasure.register()
        families.register(
            family("/customer/retrieve", "/residential/", "/residential_ledger/", "/mobile/", "/mobile_ledger/")
        )
