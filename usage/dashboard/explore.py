"""Charts and websites over any range; the address holds what is asked."""

from __future__ import annotations

from usage.dashboard.error_help import HELP
from usage.dashboard.pages import OrdersPage


class ExplorePage(OrdersPage):
    template_name = "dashboard/explore.html"
    extra_context = {"error_help": HELP}
