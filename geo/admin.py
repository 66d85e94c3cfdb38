"""What staff see and change of the public counts."""

from __future__ import annotations

from io import TextIOWrapper
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import DecimalField, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from accounts.audit import Audited
from fonproxy.admin import confirmed
from geo import refresh, services, static_ips
from geo.models import ANY_COUNTRY, CountSnapshot, Multiplier, StaticIp
from geo.multipliers import public_count
from geo.static_ip_csv import COLUMNS, NotCsv, import_csv


@admin.register(Multiplier)
class MultiplierAdmin(Audited):
    """Edited in place, beside what each factor does."""

    list_display = ("proxy_type", "pool", "country", "factor", "raw_count", "shown_count")
    list_editable = ("factor",)
    list_filter = ("proxy_type", "pool")
    search_fields = ("pool", "country")
    # Narrow, so that the counts are in sight beside it.
    formfield_overrides = {
        DecimalField: {"widget": forms.TextInput(attrs={"size": 8, "inputmode": "decimal", "aria-label": _("Factor")})}
    }

    def prepare(self, rows: list[Any]) -> None:
        picture = services.picture()
        for multiplier in rows:
            multiplier.picture = picture

    @admin.display(description="raw count")
    def raw_count(self, multiplier: Multiplier) -> str:
        return f"{sum(_touched(multiplier).values()):,}"

    @admin.display(description="public count")
    def shown_count(self, multiplier: Multiplier) -> str:
        shown = f"{sum(public_count(raw, multiplier.factor) for raw in _touched(multiplier).values()):,}"
        hidden = ", ".join(_hidden(multiplier))
        warning = format_html('<strong class="console-warning">{}</strong>', f"hides {hidden}")
        return format_html("{} {}", shown, warning) if hidden else shown

    def save_model(self, request: HttpRequest, obj: Multiplier, form: Any, change: bool) -> None:
        services.save_multiplier(obj)
        if hidden := _hidden(obj):
            self.message_user(request, f"{obj} hides {', '.join(hidden)} from the public.", messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Multiplier) -> None:
        services.delete_multipliers(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Multiplier]) -> None:
        services.delete_multipliers(*queryset)


def _touched(multiplier: Multiplier) -> dict[str, int]:
    """The raw counts, by default service, of the countries that this multiplier decides about."""
    picture: services.Picture = getattr(multiplier, "picture", None) or services.picture()
    raw = services.default_service_only(picture.raw).get(multiplier.proxy_type, {}).get(multiplier.pool, {})
    if multiplier.country != ANY_COUNTRY:
        return {country: count for country, count in raw.items() if country == multiplier.country}
    own = {
        country for kind, pool, country in picture.factors if (kind, pool) == (multiplier.proxy_type, multiplier.pool)
    }
    return {country: count for country, count in raw.items() if country not in own}


def _hidden(multiplier: Multiplier) -> list[str]:
    """Countries that have proxies and that the public does not see for this factor."""
    return sorted(c for c, raw in _touched(multiplier).items() if raw > 0 and not public_count(raw, multiplier.factor))


class UploadForm(forms.Form):
    file = forms.FileField(
        label="CSV file", help_text=f"Columns: {', '.join(COLUMNS)}. Addresses are added or changed."
    )


@admin.register(StaticIp)
class StaticIpAdmin(Audited):
    list_display = ("address", "proxy_type", "pool", "geoip_country", "maxmind_country", "is_available", "updated_at")
    list_filter = ("proxy_type", "is_available")
    search_fields = ("address__startswith",)
    search_help_text = "The beginning of an address"
    ordering = ("-pk",)
    actions = ("mark_available", "mark_unavailable")
    change_list_template = "admin/geo/static_ips.html"

    def get_urls(self) -> list[Any]:
        upload = path("import/", self.admin_site.admin_view(self.upload), name="geo_staticip_import")
        return [upload, *super().get_urls()]

    def upload(self, request: HttpRequest) -> HttpResponse:
        """A form for a CSV file, and what became of its lines."""
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        report = None
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                report = import_csv(TextIOWrapper(file, "utf-8", "replace", newline=""), timezone.now())
            except NotCsv as fault:
                form.add_error("file", str(fault))
            else:
                done = f"Imported {file.name[:100]}: {report.added} added, {report.changed} changed."
                self.log_for_all(request, file.name, done)
        context = {
            **self.admin_site.each_context(request),
            "form": form,
            "report": report,
            "title": "Import static IPs",
        }
        return TemplateResponse(request, "admin/geo/import_static_ips.html", context)

    def save_model(self, request: HttpRequest, obj: StaticIp, form: Any, change: bool) -> None:
        static_ips.save(obj)

    def delete_model(self, request: HttpRequest, obj: StaticIp) -> None:
        static_ips.delete(StaticIp.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[StaticIp]) -> None:
        static_ips.delete(queryset)

    @admin.action(description=_("Mark as available"), permissions=["change"])
    @confirmed(_("These addresses are counted among the available ones again, which the public sees."))
    def mark_available(self, request: HttpRequest, queryset: QuerySet[StaticIp]) -> None:
        self._mark(request, queryset, True)

    @admin.action(description=_("Mark as not available"), permissions=["change"])
    @confirmed(_("These addresses are no longer counted among the available ones, which the public sees."))
    def mark_unavailable(self, request: HttpRequest, queryset: QuerySet[StaticIp]) -> None:
        self._mark(request, queryset, False)

    def _mark(self, request: HttpRequest, queryset: QuerySet[StaticIp], is_available: bool) -> None:
        changed = static_ips.set_available(queryset.order_by(), is_available, timezone.now())
        self.log_for_all(request, f"{changed} static IPs", f"Marked as {'' if is_available else 'not '}available.")
        self.message_user(request, f"{changed:,} addresses are marked.", messages.SUCCESS)


@admin.register(CountSnapshot)
class CountSnapshotAdmin(Audited):
    """How the loaders fare."""

    list_display = ("proxy_type", "state", "countries", "total", "loaded_at", "failed_at", "last_error")
    search_fields = ("proxy_type",)
    fields = ("proxy_type", "state", "loaded_at", "failed_at", "last_error", "claimed_until", "counted")
    actions = ("refresh_now",)

    @admin.display
    def state(self, snapshot: CountSnapshot) -> str:
        if services.state_of(snapshot, timezone.now()).is_stale:
            return format_html('<strong class="console-warning">{}</strong>', "stale")
        return "fresh"

    @admin.display
    def countries(self, snapshot: CountSnapshot) -> int:
        return len({country for pool in _by_default(snapshot).values() for country in pool})

    @admin.display(description=_("counts"))
    def counted(self, snapshot: CountSnapshot) -> str:
        """Each count beside what the public sees of it."""
        public = services.public_counts(snapshot.proxy_type).get(snapshot.proxy_type, {})
        rows = (
            (pool, service, country, f"{raw:,}", f"{public.get(pool, {}).get(service, {}).get(country, 0):,}")
            for pool, by_service in sorted(snapshot.counts.items())
            for service, countries in sorted(by_service.items())
            for country, raw in sorted(countries.items())
        )
        columns = (_("pool"), _("service"), _("country"), _("raw count"), _("public count"))
        return format_html(
            "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>",
            format_html_join("", '<th scope="col">{}</th>', ((column,) for column in columns)),
            format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", rows),
        )

    @admin.display
    def total(self, snapshot: CountSnapshot) -> str:
        return f"{sum(count for pool in _by_default(snapshot).values() for count in pool.values()):,}"

    @admin.action(description="Load all counts again now", permissions=["view"])
    def refresh_now(self, request: HttpRequest, queryset: QuerySet[CountSnapshot]) -> None:
        refresh.refresh(timezone.now(), even_recent=True)
        self.log_for_all(request, "all counts", "Loaded again.")
        stale = [state.proxy_type for state in services.loader_states(timezone.now()) if state.is_stale]
        if stale:
            self.message_user(request, f"Still stale: {', '.join(stale)}.", messages.WARNING)
        else:
            self.message_user(request, "All counts are fresh.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _by_default(snapshot: CountSnapshot) -> dict[str, dict[str, int]]:
    return services.default_service_only({snapshot.proxy_type: snapshot.counts}).get(snapshot.proxy_type, {})
