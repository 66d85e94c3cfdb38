"""The command line: ``python manage.py`` in a checkout, ``fonproxy`` where it is installed as a package."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fonproxy.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"FonProxy cannot start: {error}")


if __name__ == "__main__":
    main()
