"""``manage.py remove_second_factor USERNAME``: for a user who lost both the phone and the recovery codes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import factors
from accounts.models import User


class Command(BaseCommand):
    help = "Remove a user's authenticator and recovery codes and end all sign-ins."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        factors.remove(user)
        user.end_sign_ins()
        self.stdout.write(f"{username} can sign in with the password alone. Staff then set up a new authenticator.")
