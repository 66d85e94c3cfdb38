"""Django's registration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import (
            notices,
            proof,
            schema,  # noqa: F401  # importing it registers its extensions with drf-spectacular
            viewing,
        )
        from fonproxy import pages

        pages.register("/sign-in", "/sign-out", "/confirm", "/password-reset", "/join")
        proof.register()
        notices.register()
        viewing.register()
