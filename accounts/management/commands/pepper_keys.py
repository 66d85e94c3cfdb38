"""``manage.py pepper_keys``: adds a pepper to keys without one; counts the keys per pepper."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from accounts import peppers
from accounts.models import ApiKey, ApplicationKey


class Command(BaseCommand):
    help = (
        "Add the newest pepper to keys that an earlier version stored without one, and count the keys that depend on "
        "each pepper. Run it once no process of that version runs. Keys of older peppers change when they are used."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._pepper_and_count()
        except Error as fault:
            raise CommandError(f"The keys cannot be read. Has migrate been run? {fault}") from None

    def _pepper_and_count(self) -> None:
        self.stdout.write(f"{_pepper_bare(ApiKey) + _pepper_bare(ApplicationKey)} keys had no pepper.")
        keys = Counter([*ApiKey.objects.values_list("pepper", flat=True)])
        keys.update(ApplicationKey.objects.values_list("pepper", flat=True))
        for number, pepper in enumerate(settings.KEY_PEPPERS, start=1):
            name = peppers.name_of(pepper)
            self.stdout.write(f"{keys.pop(name, 0)} keys depend on pepper {number} ({name}).")
        if keys:
            lost = "; ".join(
                f"{count} keys depend on a pepper that is not configured ({name})" for name, count in keys.items()
            )
            raise CommandError(f"{lost}: they do not work.")


def _pepper_bare(model: type[ApiKey] | type[ApplicationKey]) -> int:
    newest = settings.KEY_PEPPERS[0]
    bare = model._default_manager.filter(pepper=peppers.BARE)
    return sum(
        bare.filter(pk=pk).update(**peppers.under(newest, digest)._asdict())
        for pk, digest in bare.values_list("pk", "key_hash").iterator()
    )
