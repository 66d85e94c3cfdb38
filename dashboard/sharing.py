"""Share links, which show one view of *Explore* without signing in: creating, listing and revoking, and their page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, TemplateView
from rest_framework.exceptions import APIException, NotFound

from accounts import sharing
from accounts.models import Role, ShareLink, User
from analytics.traffic import shared
from analytics.traffic.params import ChartParams, RangeParams, WebsitesParams
from dashboard.error_help import HELP
from dashboard.forms import show_once
from dashboard.pages import CustomerPage
from fonproxy.api.errors import Conflict
from fonproxy.countries import name_of
from fonproxy.pages import Page, error_page
from orders import selectors

RANGES: Final[dict[str, Promise]] = {
    "24h": _("last 24 hours"),
    "7d": _("last 7 days"),
    "30d": _("last 30 days"),
    "month": _("this month"),
    "last-month": _("last month"),
}
COMPARED: Final[dict[str, Promise]] = {
    "1": _("change from the previous period of the same length"),
    "year": _("change from the same period last year"),
}
GONE: Final = _("The link is incomplete, expired or revoked. Ask the person who shared it for a new one.")
MAX_NAME: Final = 100
LIFETIMES: Final = [("7", _("7 days")), ("30", _("30 days")), ("90", _("90 days")), ("365", _("a year"))]


class ShareForm(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=MAX_NAME, help_text=_("The heading of the shared page, and its name in your list.")
    )
    moves = forms.ChoiceField(label=_("Range"), widget=forms.RadioSelect)
    days = forms.ChoiceField(label=_("Works for"), choices=LIFETIMES, initial="30", widget=forms.RadioSelect)

    def __init__(self, *args: Any, view: shared.View, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["moves"]
        assert isinstance(field, forms.ChoiceField)
        stays = (_("Fixed: %s") % described_ends(view, now)).strip()
        choices: list[tuple[str, Any]] = [("", stays)]
        if "range" in view:
            choices = [("1", gettext("Rolling: always the %s") % RANGES[view["range"]]), ("0", stays)]
        field.choices = choices
        field.required = len(choices) > 1
        field.initial = choices[0][0]


class NewSharePage(CustomerPage, FormView[ShareForm]):
    """Creates a link; the page's URL has the view, like that of *Explore*."""

    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/new_share.html"
    form_class = ShareForm
    read_role = Role.MANAGER

    @cached_property
    def shown(self) -> dict[str, str]:
        """The view to be shared; raises NotFound for an invalid one."""
        zone = self.viewed.subject.time_zone or "UTC"
        return readable_view(self.request.GET, zone, self.customer, timezone.now())

    def get_initial(self) -> dict[str, Any]:
        """A name made of the filters; the shared page says the range itself."""
        values = ", ".join(value for _label, value in described_filters(self.shown, self.customer))
        name = gettext("Traffic: %s") % values if values else gettext("Traffic")
        return {"name": name[:MAX_NAME]}

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"view": self.shown, "now": timezone.now()}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(filters=described_filters(self.shown, self.customer), **kwargs)

    def form_valid(self, form: ShareForm) -> HttpResponse:
        now, given = timezone.now(), form.cleaned_data
        view = self.shown if given["moves"] == "1" else shared.fixed(self.shown, now)
        lifetime = timedelta(days=int(given["days"]))
        try:
            link, secret = sharing.create(self.customer, given["name"], view, lifetime, self.viewed.person, now)
        except Conflict as refusal:
            form.add_error(None, str(refusal.detail))
            return self.form_invalid(form)
        return show_once(
            self.request,
            gettext("Link “%s” created") % link.name,
            _("Anyone with this link can see the view without signing in. You can revoke it at any time."),
            [(_("Link"), f"{settings.PUBLIC_URL}{reverse('shared-view', args=[secret])}")],
            reverse("shares"),
        )


class SharesPage(CustomerPage, TemplateView):
    template_name = "dashboard/shares.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        links = [
            (link, described_range(link.view, now), described_filters(link.view, self.customer))
            for link in sharing.links_of(self.customer, now)
        ]
        return super().get_context_data(links=links, **kwargs)


class RevokeSharePage(CustomerPage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        sharing.revoke(self.customer, id, self.viewed.person, timezone.now())
        messages.success(request, gettext("Link revoked. It no longer works."))
        return redirect("shares")


class SharedPage(Page, TemplateView):
    """The public page of a share link; its charts use only the reads of the link.

    Numbers and dates are written as for the maker of the link.
    """

    template_name = "dashboard/shared.html"

    @cached_property
    def link(self) -> ShareLink:
        """Raises NotFound."""
        link = sharing.find(self.kwargs["token"], timezone.now())
        if link is None:
            raise NotFound
        return link

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now, link = timezone.now(), self.link
        view: dict[str, str] = link.view
        start, end = shared.ends(view, now)
        layout = {"interval": view.get("interval", ""), "sortBy": view.get("sort", "")}
        described = {"from": start, "to": end, "tz": view["tz"], "compare": view.get("compare", ""), **layout}
        return super().get_context_data(
            link=link,
            view_range=described_range(view, now),
            filters=described_filters(view, link.account),
            compared=COMPARED.get(view.get("compare", ""), ""),
            shown={"path": self.request.path, **described},
            error_help=HELP,
            **kwargs,
        )

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            link = self.link
        except NotFound:
            return error_page(request, 404, GONE)
        with translation.override(link.maker.language):
            response = super().get(request, *args, **kwargs)
            response.render()  # type: ignore[attr-defined]  # of a template
        response["X-Robots-Tag"] = "noindex, nofollow"
        return response


def readable_view(query: QueryDict, zone: str, account: User, now: datetime) -> dict[str, str]:
    """The view named by a URL; raises NotFound for an invalid one."""
    view = shared.view_of({name: str(value) for name, value in query.items()}, zone)
    layout = QueryDict(mutable=True)
    layout.update({"interval": view.get("interval", ""), "sortBy": view.get("sort", "")})
    asked = shared.query(view, layout, now)
    try:
        given = ChartParams.read(asked)
        WebsitesParams.read(asked)
    except APIException:
        raise NotFound from None
    if "orderId" in given:
        selectors.find_order(account.pk, given["orderId"])
    return view


def described_range(view: shared.View, now: datetime) -> str:
    return gettext("The %s") % RANGES[view["range"]] if "range" in view else described_ends(view, now)


def described_ends(view: shared.View, now: datetime) -> str:
    """Start and end as text, in the view's zone."""
    given = RangeParams.read(shared.query(view, QueryDict(), now))
    ends = (given["range"].start, given["range"].end)
    start, end = (date_format(at.astimezone(given["tz"]), "DATETIME_FORMAT") for at in ends)
    return gettext("%(start)s to %(end)s, %(zone)s") % {"start": start, "end": end, "zone": given["tz"].key}


def described_filters(view: shared.View, account: User) -> list[tuple[str | Promise, str]]:
    """Each filter with its value, as text."""
    found: list[tuple[str | Promise, str]] = []
    if "order" in view:
        found.append((_("Order"), _order_name(view["order"], account)))
    if "domain" in view:
        found.append((_("Domain"), view["domain"]))
    if "country" in view:
        found.append((_("Country"), name_of(view["country"].upper()) or view["country"]))
    if "login" in view:
        found.append((_("Proxy user"), view["login"]))
    return found


def _order_name(published_id: str, account: User) -> str:
    try:
        return selectors.find_order(account.pk, published_id).name
    except NotFound:
        return gettext("deleted")
