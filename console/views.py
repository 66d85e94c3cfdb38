"""The console's pages that are not a model's list or form."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console import address_use, onboarding, origins
from console import gateways as gateway_reads
from console import search as customer_search
from console.navigation import ADDRESSES
from console.pages import NO_ENGINE, page, require
from fonproxy.clickhouse.errors import EngineError


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Finds customers and their objects.

    An exact match opens at once, except an address, for which its users may be wanted.
    """
    if not customer_search.may_search(request.user):
        raise PermissionDenied
    term = request.GET.get("q", "")
    hits = customer_search.find(term, request.user)
    address = customer_search.ip_address(term)
    may_see_use = request.user.has_perms(ADDRESSES)
    may_look_up = request.user.has_perm("analytics.add_abusereport")
    is_about_use = bool(address) and (may_see_use or may_look_up)
    if not is_about_use and (match := _only_match(hits)):
        return HttpResponseRedirect(match.url)
    if not hits and may_see_use and _is_range(term):
        return HttpResponseRedirect(f"{reverse('admin:console_addresses')}?{urlencode({'range': term})}")
    return page(
        request,
        "search",
        _("Search"),
        term=term,
        hits=hits,
        address=address,
        may_see_use=may_see_use,
        may_look_up=may_look_up,
    )


def _only_match(hits: list[customer_search.Hit]) -> customer_search.Hit | None:
    """The single hit, or the first exact one if all exact ones are of the same customer."""
    exact = [hit for hit in hits if hit.is_exact]
    if len(hits) == 1 or len({hit.customer for hit in exact}) == 1:
        return (exact or hits)[0]
    return None


def _is_range(term: str) -> bool:
    try:
        found = address_use.parse(term)
    except address_use.InvalidRange:
        return False
    return found.first != found.last


@require_safe
def gateways(request: HttpRequest) -> HttpResponse:
    require(request, "analytics.view_ingestbatch")
    try:
        found = gateway_reads.latest(timezone.now())
    except EngineError:
        messages.error(request, NO_ENGINE)
        found = []
    return page(request, "gateways", _("Gateways"), gateways=found)


class AddressForm(forms.Form):
    range = forms.CharField(
        label=gettext_lazy("Addresses"),
        max_length=100,
        help_text=gettext_lazy("A network such as 192.0.2.0/24, or the first and the last address with a dash."),
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("Days"), choices=[(n, n) for n in (1, 7, 31, 90)], coerce=int, initial=7
    )

    def clean_range(self) -> address_use.AddressRange:
        try:
            return address_use.parse(self.cleaned_data["range"])
        except address_use.InvalidRange as fault:
            raise forms.ValidationError(str(fault)) from None


@require_safe
def addresses(request: HttpRequest) -> HttpResponse:
    """The static IPs of a range, and the users of its addresses."""
    require(request, *ADDRESSES)
    now = timezone.now()
    form = AddressForm({"days": 7, **request.GET.dict()} if request.GET else None)
    rows: list[address_use.RangeAddress] | None = None
    if form.is_valid():
        try:
            rows = address_use.used(form.cleaned_data["range"], now - timedelta(days=form.cleaned_data["days"]), now)
        except EngineError:
            messages.error(request, NO_ENGINE)
    return page(request, "addresses", _("Who uses addresses"), form=form, rows=rows)


PAGES: Final = (
    ("search/", "search", search),
    ("gateways/", "gateways", gateways),
    ("addresses/", "addresses", addresses),
    ("origins/", "origins", origins.origins),
    ("new-customer/", "new_customer", onboarding.new_customer),
)
