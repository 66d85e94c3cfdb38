"""Views of *Explore* that an account saves by name."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from rest_framework.exceptions import NotFound

from accounts.models import SavedView, User
from accounts.selectors import decode_or_404, locked_account
from analytics.traffic import shared
from dashboard.pages import CustomerPage
from dashboard.sharing import readable_view

MAX_VIEWS: Final = 50
MAX_NAME: Final = 100


def saved_views(account: User) -> list[tuple[SavedView, str]]:
    """The views by name, each with the query of its URL."""
    return [(saved, urlencode(saved.view)) for saved in account.saved_views.order_by("name")]


class SaveViewPage(CustomerPage):
    """Saves the view of the given query under the given name, replacing an existing one."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        query = QueryDict(request.POST.get("query", ""))
        name = request.POST.get("name", "").replace("\0", "").strip()[:MAX_NAME]
        view = shared.view_of(query.dict(), "UTC")
        if "tz" not in query:
            del view["tz"]  # shared by the team
        refusal = self._refusal(name, query)
        if refusal:
            messages.warning(request, refusal)
        elif self._save(name, view):
            messages.success(request, gettext("View “%s” saved.") % name)
        else:
            message = gettext("An account can have at most %s saved views. Delete one first.")
            messages.warning(request, message % MAX_VIEWS)
        return redirect(f"{reverse('explore')}?{urlencode(view)}")

    def _refusal(self, name: str, query: QueryDict) -> str:
        """The reason why the name or the view is invalid; empty if both are valid."""
        if not name:
            return gettext("Enter a name for the view.")
        try:
            readable_view(query, "UTC", self.customer, timezone.now())
        except NotFound:
            return gettext(
                "The view was not saved: its range, time zone, interval, sort order or a filter is not valid."
            )
        return ""

    def _save(self, name: str, view: dict[str, str]) -> bool:
        """False if the account has too many."""
        with transaction.atomic():
            locked_account(self.customer.pk)
            others = self.customer.saved_views.exclude(name=name)
            if others.count() >= MAX_VIEWS:
                return False
            self.customer.saved_views.update_or_create(name=name, defaults={"view": view})
        return True


class DeleteViewPage(CustomerPage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        if not self.customer.saved_views.filter(pk=decode_or_404("view", id)).delete()[0]:
            raise Http404
        messages.success(request, gettext("Saved view deleted."))
        return redirect("explore")
