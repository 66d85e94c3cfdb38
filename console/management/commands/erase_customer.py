"""``manage.py erase_customer USERNAME``: erases a customer from both stores and prints the number of deleted rows."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import erasure
from accounts.audit_trail import Actor
from accounts.models import User
from fonproxy.api.errors import ApiProblem
from fonproxy.clickhouse.client import close_client
from fonproxy.clickhouse.errors import EngineError


class Command(BaseCommand):
    help = "Erase a customer with orders, ledgers and traffic. This cannot be undone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        try:
            erased = erasure.erase(user, timezone.now(), Actor())
        except (ApiProblem, EngineError) as error:
            raise CommandError(str(error)) from error
        finally:
            close_client()
        for table, rows in erased.items():
            self.stdout.write(f"{rows:>12,}  {table}")
        self.stdout.write("Nothing of the customer is left in either store.")
