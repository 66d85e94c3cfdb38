"""``manage.py ship_squid_log``: runs the agent of this checkout, or the installed one, for one-machine installs."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "The same as `fonproxy-agent ship squid`: pushes a Squid access log. The API key is in FONPROXY_KEY."

    def run_from_argv(self, argv: list[str]) -> None:
        """Replaces this process, so that shipping needs only the agent's memory and not Django's."""
        if settings.IS_CHECKOUT:
            os.environ["PYTHONPATH"] = str(settings.BASE_DIR / "agent")
        elif find_spec("fonproxy_agent") is None:
            raise CommandError("The agent is a separate package: pip install fonproxy-agent.")
        os.execv(sys.executable, [sys.executable, "-m", "fonproxy_agent", "ship", "squid", *argv[2:]])  # noqa: S606
