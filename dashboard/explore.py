"""Charts and websites over any range; the URL holds range and filters."""

from __future__ import annotations

from typing import Any, Final

from django.http import QueryDict
from django.utils import timezone

from analytics.traffic import shared
from analytics.traffic.params import RankingParams
from analytics.traffic.queries import RankOrder
from analytics.traffic.reads import reader_of
from dashboard.error_help import HELP
from dashboard.pages import COUNTRIES, LoginsPage
from dashboard.saved_views import saved_views
from dashboard.sharing import described_range, readable_view
from fonproxy.countries import name_of
from fonproxy.units import amount

MAX_COUNTRIES: Final = 100


class ExplorePage(LoginsPage):
    template_name = "dashboard/explore.html"
    extra_context = {"error_help": HELP, "countries": COUNTRIES}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        table = self.countries() if self.request.GET.get("table") == "countries" else {}
        return super().get_context_data(saved=saved_views(self.customer), **table, **kwargs)

    def countries(self) -> dict[str, Any]:
        """Traffic by country for browsers without JavaScript; raises NotFound for an invalid view."""
        now = timezone.now()
        view = readable_view(self.request.GET, self.viewed.subject.time_zone or "UTC", self.customer, now)
        given = RankingParams.read(shared.query(view, QueryDict(), now))
        found = reader_of(self.customer.pk, given, now).countries(RankOrder.BYTES, MAX_COUNTRIES).rows
        rows = [
            (
                name_of(row["country"]),
                int(row["total_count"]),
                amount(int(row["bytes_total"])),
                int(row["total_errors"]),
            )
            for row in found
        ]
        return {"rows": rows, "rows_range": described_range(view, now)}
