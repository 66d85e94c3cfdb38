"""Search of single requests of the last days; the URL holds range and filters."""

from __future__ import annotations

from typing import Final

from dashboard.error_help import HELP
from dashboard.pages import COUNTRIES, LoginsPage

METHODS: Final = ("CONNECT", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class LogsPage(LoginsPage):
    template_name = "dashboard/logs.html"
    extra_context = {"methods": METHODS, "countries": COUNTRIES, "error_help": HELP}
