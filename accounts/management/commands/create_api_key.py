"""Issues an API key; standard output has only the key, so it can be piped."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import ApiKey, Scope, User
from accounts.services import issue_key
from fonproxy.api.errors import Conflict


class Command(BaseCommand):
    help = "Issue an API key for a user and print it. The key is not shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", required=True, help="name of the key, at most 100 characters")
        parser.add_argument(
            "--scope", action="append", required=True, choices=Scope.values, help="repeat the option for several scopes"
        )

    def handle(self, *, username: str, name: str, scope: list[str], **__: Any) -> None:
        longest = ApiKey._meta.get_field("name").max_length or 0
        if not name.strip() or len(name) > longest:
            raise CommandError(f"The name must have 1 to {longest} characters.")
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        if not user.is_active:
            raise CommandError(f"The user {username!r} is not active, so the key would be refused.")
        try:
            _, secret = issue_key(user=user, name=name.strip(), scopes=scope, now=timezone.now())
        except Conflict as fault:
            raise CommandError(str(fault)) from None
        self.stdout.write(secret)
