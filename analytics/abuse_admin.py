"""Abuse reports: pasted as received, answered with the users of the addresses, and exported as evidence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.audit import AuditedAdmin
from analytics import exit_ip_lookup
from analytics.abuse_text import InvalidReport, ReportedUse
from analytics.exit_ip_lookup import ReportedResult
from analytics.models import AbuseReport
from fonproxy.api.renderers import csv_file
from fonproxy.clickhouse.errors import EngineError, QueryTooHeavy
from fonproxy.timerange import FIRST_YEAR, LAST_YEAR, parse_zone, zone_choices

EXPORTED: Final = (
    "case", "asked", "asked_since", "asked_before", "exit_address", "user", "order", "login", "client", "first", "last",
    "requests", "bytes", "domains", "ports",
)  # fmt: skip
LOCAL: Final = "%Y-%m-%dT%H:%M"


def _moment(label: Any, help_text: Any = "") -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label,
        required=False,
        help_text=help_text,
        input_formats=[LOCAL, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL),
    )


class AbuseReportForm(forms.ModelForm[AbuseReport]):
    text = forms.CharField(
        label=_("Report"),
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 100}),
        help_text=_(
            "The mail, lines of a log, CSV or a list, as received: addresses, networks such as 192.0.2.0/24 and ranges,"
            " with their times on the same line or on lines of their own. Or one address, and its time below."
        ),
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=zone_choices,
        initial="UTC",
        help_text=_("For times without a zone, and for the two fields below."),
    )
    since = _moment(_("Time, or from"), _("For addresses that come without a time."))
    until = _moment(_("Until"), _("Empty: only around that time."))

    class Meta:
        model = AbuseReport
        fields = ("reference", "text", "time_zone", "since", "until", "margin", "domain")
        labels: Final = {"margin": _("Margin around each time")}
        help_texts: Final = {"domain": _("Only uses of this domain.")}

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if self.errors:
            return given
        for name in ("since", "until"):
            given[name] = self._instant(name)
        if self.errors:
            return given
        since, until = given["since"], given["until"]
        if until and not since:
            self.add_error("since", _("Fill in when it starts."))
        elif since and until and since >= until:
            self.add_error("until", _("Must be after the start."))
        else:
            self._read(given)
        return given

    def _instant(self, name: str) -> datetime | None:
        """The form's time in the chosen zone."""
        at: datetime | None = self.cleaned_data[name]
        if at is None:
            return None
        if not FIRST_YEAR < at.year < LAST_YEAR:
            self.add_error(name, f"Must lie in the years {FIRST_YEAR + 1} to {LAST_YEAR - 1}.")
            return None
        return at.replace(tzinfo=parse_zone(self.cleaned_data["time_zone"]))

    def _read(self, given: dict[str, Any]) -> None:
        try:
            AbuseReport(**{name: given[name] for name in self.Meta.fields}).asked  # noqa: B018  # for its refusals
        except InvalidReport as fault:
            self.add_error("text", str(fault))


class OpenFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("open")), ("closed", _("closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AbuseReport]) -> QuerySet[AbuseReport]:
        if self.value() is None:
            return queryset
        return queryset.filter(outcome="") if self.value() == "open" else queryset.exclude(outcome="")


@admin.register(AbuseReport)
class AbuseReportAdmin(AuditedAdmin):
    """The report and its query cannot be changed or deleted; staff fill in its outcome when it is closed."""

    change_form_template = "admin/analytics/abusereport/change_form.html"
    list_display = ("created_at", "reference", "author", "outcome")
    list_display_links = ("reference",)
    list_filter = (OpenFilter,)
    list_select_related = ("author",)
    search_fields = ("reference", "text", "outcome", "author__username")
    ordering = ("-pk",)

    def get_form(
        self, request: HttpRequest, obj: AbuseReport | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return super().get_form(request, obj, change, **(kwargs if obj else {**kwargs, "form": AbuseReportForm}))

    def get_fields(self, request: HttpRequest, obj: AbuseReport | None = None) -> Any:
        if obj is None:
            return AbuseReportForm.Meta.fields
        return (
            "outcome",
            "reference",
            "created_at",
            "author",
            "text",
            "time_zone",
            "local_since",
            "local_until",
            "margin",
            "domain",
        )

    @admin.display(description=_("time, or from"))
    def local_since(self, report: AbuseReport) -> str:
        return _on_clock(report.since, report)

    @admin.display(description=_("until"))
    def local_until(self, report: AbuseReport) -> str:
        return _on_clock(report.until, report)

    def get_readonly_fields(self, request: HttpRequest, obj: AbuseReport | None = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)[1:]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        zone = getattr(request.user, "time_zone", "") or "UTC"
        return {"time_zone": zone, **super().get_changeform_initial_data(request)}

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return super().add_view(request, form_url, {"title": _("Who used an exit address?"), **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return super().change_view(request, object_id, form_url, {"title": _("Abuse report"), **(extra_context or {})})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: AbuseReport, form: Any, change: bool) -> None:
        if not change:
            obj.author_id = request.user.pk
        obj.save()

    def response_add(
        self, request: HttpRequest, obj: AbuseReport, post_url_continue: str | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:analytics_abusereport_change", args=[obj.pk]))

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export)
        return [path("<int:number>/csv/", export, name="analytics_abusereport_export"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        report: AbuseReport | None = kwargs.get("obj")
        if report is not None:
            results = self._results(request, report)
            context |= {
                "results": results,
                "used": [result for result in results or () if result.uses],
                "unused": [result.asked for result in results or () if not result.uses],
                "most": exit_ip_lookup.MAX_OF_EACH,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def export(self, request: HttpRequest, number: int) -> HttpResponse:
        """The evidence as CSV, including the query and addresses without use; recorded like each view of the result."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        report = get_object_or_404(AbuseReport, pk=number)
        results = self._results(request, report)
        if results is None:
            return HttpResponseRedirect(reverse("admin:analytics_abusereport_change", args=[number]))
        rows = (row for result in results for row in _rows(report, result))
        return csv_file(f"abuse-report-{number}.csv", EXPORTED, rows)

    def _results(self, request: HttpRequest, report: AbuseReport) -> list[ReportedResult] | None:
        """The results, or None with a message when they are not available.

        Each view of personal data is recorded beforehand.
        """
        self.log_change(request, report, "Looked up.")
        try:
            return exit_ip_lookup.uses_of_each(report.asked, report.domain, timezone.now())
        except QueryTooHeavy:
            self.message_user(request, _("The lookup takes too long: split the report."), messages.ERROR)
        except EngineError:
            self.message_user(request, _("ClickHouse is unavailable: try again later."), messages.ERROR)
        return None


def _on_clock(at: datetime | None, report: AbuseReport) -> str:
    """The time as it was entered, in the report's zone."""
    return f"{at.astimezone(parse_zone(report.time_zone)):%Y-%m-%d %H:%M}" if at else ""


def _rows(report: AbuseReport, result: ReportedResult) -> Iterator[list[Any]]:
    asked: ReportedUse = result.asked
    begin = [report.reference, asked.name, asked.since.isoformat(), asked.before.isoformat()]
    if not result.uses:
        yield [*begin, "nobody", *[None] * 10]
    for address, use in result.uses:
        user, order = use.user and use.user.get_username(), use.order and use.order.published_id
        facts = [use.requests, use.bytes, use.domains, use.ports]
        yield [*begin, address, user, order, use.login, use.client, use.first.isoformat(), use.last.isoformat(), *facts]
    if result.is_cut:
        yield [*begin, "more than fit", *[None] * 10]
