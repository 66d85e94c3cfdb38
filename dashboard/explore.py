"""Charts and websites over any range; the address holds what is asked."""

from __future__ import annotations

from typing import Any

from dashboard.error_help import HELP
from dashboard.pages import COUNTRIES, LoginsPage
from dashboard.saved_views import saved_views


class ExplorePage(LoginsPage):
    template_name = "dashboard/explore.html"
    extra_context = {"error_help": HELP, "countries": COUNTRIES}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(saved=saved_views(self.customer), **kwargs)
