"""``manage.py reseal_secrets``: encrypts stored secrets under the newest secret key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import TotpDevice
from fonproxy import sealing
from orders.models import WebhookEndpoint
from usage.models import Alert


class Command(BaseCommand):
    help = (
        "Encrypt webhook secrets, chat addresses and authenticator keys under the newest secret key. Afterwards they "
        "need no older key."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        lost = 0
        for model, column in (
            (Alert, "sealed_secret"),
            (Alert, "sealed_chat"),
            (TotpDevice, "sealed_key"),
            (WebhookEndpoint, "sealed_secret"),
        ):
            for pk, sealed in model._default_manager.exclude(**{column: ""}).values_list("pk", column).iterator():
                try:
                    fresh = sealing.reseal(sealed)
                except sealing.Unreadable:
                    lost += 1
                    continue
                # only if it was not replaced concurrently
                model._default_manager.filter(pk=pk, **{column: sealed}).update(**{column: fresh})
        if lost:
            raise CommandError(f"{lost} secrets are stored under a secret key that is no longer configured.")
        self.stdout.write("Every stored secret is encrypted under the newest secret key.")
