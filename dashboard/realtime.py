"""The account's traffic of this minute and the last hour; all data comes from the APIs."""

from __future__ import annotations

from django.views.generic import TemplateView

from dashboard.pages import CustomerPage


class RealtimePage(CustomerPage, TemplateView):
    template_name = "dashboard/realtime.html"
