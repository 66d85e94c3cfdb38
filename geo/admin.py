"""Multipliers, static IPs and count snapshots for staff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from io import TextIOWrapper
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Case, DecimalField, QuerySet, Value, When
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import confirmed
from accounts.audit import AuditedAdmin, ReadOnlyAdmin
from fonproxy.units import localised
from geo import multiplier_changes, multiplier_preview, refresh, services, static_ips
from geo.models import CountSnapshot, Multiplier, MultiplierChange, StaticIp
from geo.multiplier_preview import MultiplierState
from geo.static_ip_csv import COLUMNS, NotCsv, import_csv


class MultiplierForm(forms.ModelForm[Multiplier]):
    class Meta:
        help_texts: Final = {
            "country": _("A code such as DE; * for all countries without a factor of their own."),
            "factor": _("Raw counts are multiplied by it; 0 hides the country."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in (("starts_at", _("Start")), ("ends_at", _("End"))):
            if name in self.fields:  # absent in the list; Django labels neither the date nor the time
                for part, widget in zip((_("date"), _("time")), self.fields[name].widget.widgets, strict=True):
                    widget.attrs["aria-label"] = f"{label}, {part}"

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if not self.errors:
            wanted = Multiplier(pk=self.instance.pk, **{**model_to_dict(self.instance, exclude=["id"]), **given})
            if (other := multiplier_changes.conflict(wanted)) is not None:
                raise forms.ValidationError(multiplier_changes.sentence(other))
        return given


@admin.register(Multiplier)
class MultiplierAdmin(AuditedAdmin):
    """Factors are edited in the list, next to the counts they affect. Each change is previewed before it is saved."""

    form = MultiplierForm
    list_display = ("proxy_type", "pool", "country", "factor", "raw_count", "shown_count", "when")
    csv_columns = (
        "proxy_type",
        "pool",
        "country",
        "factor",
        "raw_count",
        "shown_count",
        "state",
        "starts_at",
        "ends_at",
    )
    sortable_by = ()  # there are few rows, and arrows would push the counts out of sight
    list_editable = ("factor",)
    # Search replaces filters, whose column would push the times out of sight.
    search_fields = ("proxy_type", "pool", "country")
    search_help_text = "A proxy type such as residential-giga, a pool or a country"
    # Narrow, to leave room for the counts.
    formfield_overrides = {
        DecimalField: {"widget": forms.TextInput(attrs={"size": 6, "inputmode": "decimal", "aria-label": _("Factor")})}
    }

    def prepare(self, rows: list[Any]) -> None:
        now = timezone.now()
        effects = multiplier_preview.effects_of([row.terms for row in rows], now)
        for multiplier, effect in zip(rows, effects, strict=True):
            multiplier.effect = effect

    @admin.display
    def state(self, multiplier: Multiplier) -> str:
        return str(STATES[_effect_of(multiplier).state])

    @admin.display(description=_("state, UTC"))
    def when(self, multiplier: Multiplier) -> str:
        """The state with the times below it: separate columns would not fit into a small window."""
        words = ((_("from"), multiplier.starts_at), (_("until"), multiplier.ends_at))
        times = ((word, date_format(at.astimezone(UTC), "DATETIME_FORMAT")) for word, at in words if at)
        lines = format_html_join("", '<br><span class="nowrap">{} {}</span>', times)
        return format_html("{}{}", self.state(multiplier), lines)

    @admin.display(description="raw count")
    def raw_count(self, multiplier: Multiplier) -> str:
        return localised(_effect_of(multiplier).raw)

    @admin.display(description="public count")
    def shown_count(self, multiplier: Multiplier) -> str:
        effect = _effect_of(multiplier)
        hidden = ", ".join(effect.hidden)
        warning = format_html('<strong class="console-warning">{}</strong>', f"hides {hidden}")
        return format_html("{} {}", localised(effect.public), warning) if hidden else localised(effect.public)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Saves factors changed in the list after the preview was confirmed."""
        is_save = request.method == "POST" and "_save" in request.POST and self.has_change_permission(request)
        if is_save and request.POST.get("confirmed") != "yes":
            formset_class = self.get_changelist_formset(request)
            rows = self._get_list_editable_queryset(request, formset_class.get_default_prefix())
            formset = formset_class(request.POST, queryset=rows)
            if formset.is_valid() and formset.has_changed():
                return self._preview(request, [form for form in formset if form.has_changed()])
        return self._or_refused(request, lambda: super(MultiplierAdmin, self).changelist_view(request, extra_context))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Saves a form after the preview was confirmed."""
        if request.method == "POST" and request.POST.get("confirmed") != "yes":
            multiplier = self.get_object(request, unquote(object_id)) if object_id else None
            is_allowed = self.has_change_permission(request) if object_id else self.has_add_permission(request)
            if is_allowed and (multiplier or not object_id):
                form = self.get_form(request, multiplier, change=bool(multiplier))(request.POST, instance=multiplier)
                if form.is_valid() and form.has_changed():
                    return self._preview(request, [form])
        return self._or_refused(
            request,
            lambda: super(MultiplierAdmin, self).changeform_view(request, object_id, form_url, extra_context),
        )

    def _or_refused(self, request: HttpRequest, save: Callable[[], HttpResponse]) -> HttpResponse:
        """Reports a conflict with a concurrent change, although the form was valid."""
        try:
            return save()
        except multiplier_changes.MultiplierRefused as fault:
            self.message_user(request, str(fault), messages.ERROR)
            return HttpResponseRedirect(request.path)

    def _preview(self, request: HttpRequest, changed: list[Any]) -> HttpResponse:
        now = timezone.now()
        stored = Multiplier.objects.in_bulk([form.instance.pk for form in changed if form.instance.pk])
        rows = [
            multiplier_preview.preview(before.terms if before else None, form.instance.terms, now)
            for form in changed
            for before in [stored.get(form.instance.pk)]
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Save these factors?"),
            "opts": self.opts,
            "rows": rows,
            "current": now,
            "posted": [(name, value) for name, values in request.POST.lists() for value in values],
        }
        return TemplateResponse(request, "admin/geo/multipliers_preview.html", context)

    def save_model(self, request: HttpRequest, obj: Multiplier, form: Any, change: bool) -> None:
        now = timezone.now()
        saved = multiplier_changes.save(obj, request.user.pk, now)
        if saved and request.user.has_perms(["geo.view_multiplierchange", _permission_to_undo(saved)]):
            undo = reverse("admin:geo_multiplierchange_undo", args=[saved.pk])
            self.message_user(request, format_html('{}: <a href="{}">{}</a>', obj, undo, _("undo")))
        [effect] = multiplier_preview.effects_of([obj.terms], now)
        if effect.hidden:
            self.message_user(request, f"{obj} hides {', '.join(effect.hidden)} from the public.", messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Multiplier) -> None:
        multiplier_changes.delete([obj], request.user.pk, timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Multiplier]) -> None:
        multiplier_changes.delete(queryset, request.user.pk, timezone.now())


STATES: Final = {
    MultiplierState.IN_FORCE: _("in force"),
    MultiplierState.PLANNED: _("planned"),
    MultiplierState.REPLACED: _("replaced by one with times"),
    MultiplierState.OVER: _("over"),
}


def _effect_of(multiplier: Any) -> multiplier_preview.Effect:
    effect: multiplier_preview.Effect = multiplier.effect  # set in prepare
    return effect


# Undoing an addition deletes, and undoing a deletion adds.
UNDO_ADDITION: Final = "geo.delete_multiplier"
UNDO_DELETION: Final = "geo.add_multiplier"
UNDO_CHANGE: Final = "geo.change_multiplier"


def _permission_to_undo(change: MultiplierChange) -> str:
    if change.before is None:
        return UNDO_ADDITION
    return UNDO_DELETION if change.after is None else UNDO_CHANGE


@admin.register(MultiplierChange)
class MultiplierChangeAdmin(ReadOnlyAdmin):
    """Changes of multipliers, newest first. Each can be undone unless the multiplier was changed since."""

    list_display = ("at", "author", "was", "became", "undo_link")
    list_display_links = None
    list_select_related = ("author", "undone_by", "undoes")
    search_fields = ("author__username",)
    ordering = ("-pk",)
    fields = ("at", "author", "was", "became")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MultiplierChange]:
        """Adds ``may_undo``, because a column method does not know the user."""
        changes: QuerySet[MultiplierChange] = super().get_queryset(request)
        may_undo = Case(
            When(before__isnull=True, then=Value(request.user.has_perm(UNDO_ADDITION))),
            When(after__isnull=True, then=Value(request.user.has_perm(UNDO_DELETION))),
            default=Value(request.user.has_perm(UNDO_CHANGE)),
        )
        return changes.annotate(may_undo=may_undo)

    @admin.display(description=_("before"))
    def was(self, change: MultiplierChange) -> str:
        return str(multiplier_changes.from_json(change.before)) if change.before else str(_("none"))

    @admin.display(description=_("afterwards"))
    def became(self, change: MultiplierChange) -> str:
        return str(multiplier_changes.from_json(change.after)) if change.after else str(_("deleted"))

    @admin.display(description=_("undo"))
    def undo_link(self, change: Any) -> str:
        if hasattr(change, "undone_by"):
            return str(_("undone"))
        if not change.may_undo:
            return ""
        url = reverse("admin:geo_multiplierchange_undo", args=[change.pk])
        return format_html('<a href="{}">{}</a>', url, _("Undo the undoing") if change.undoes else _("Undo"))

    def get_urls(self) -> list[Any]:
        undo = self.admin_site.admin_view(self.undo)
        return [path("<int:number>/undo/", undo, name="geo_multiplierchange_undo"), *super().get_urls()]

    def undo(self, request: HttpRequest, number: int) -> HttpResponse:
        """Previews what undoing the change would do; with POST, undoes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        change = get_object_or_404(MultiplierChange, pk=number)
        if not request.user.has_perm(_permission_to_undo(change)):
            raise PermissionDenied
        now = timezone.now()
        if request.method == "POST":
            try:
                multiplier_changes.undo(change, request.user.pk, now)
            except multiplier_changes.MultiplierRefused as fault:
                self.message_user(request, str(fault), messages.ERROR)
            else:
                self.log_change(request, change, f"Undone: {self.became(change)} is {self.was(change)} again.")
                self.message_user(request, _("The change is undone."), messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:geo_multiplier_changelist"))
        before, after = (row and multiplier_changes.from_json(row).terms for row in (change.after, change.before))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Undo this change?"),
            "opts": self.opts,
            "rows": [multiplier_preview.preview(before, after, now)],
            "current": now,
            "is_undo": True,
        }
        return TemplateResponse(request, "admin/geo/multipliers_preview.html", context)


class UploadForm(forms.Form):
    file = forms.FileField(
        label="CSV file", help_text=f"Columns: {', '.join(COLUMNS)}. Addresses are added or changed."
    )


@admin.register(StaticIp)
class StaticIpAdmin(AuditedAdmin):
    list_display = ("address", "proxy_type", "pool", "geoip_country", "maxmind_country", "is_available", "updated_at")
    list_filter = ("proxy_type", "is_available")
    search_fields = ("address__startswith",)
    search_help_text = "Beginning of an address"
    ordering = ("-pk",)
    actions = ("mark_available", "mark_unavailable")
    change_list_template = "admin/geo/static_ips.html"

    def get_urls(self) -> list[Any]:
        upload = path("import/", self.admin_site.admin_view(self.upload), name="geo_staticip_import")
        return [upload, *super().get_urls()]

    def upload(self, request: HttpRequest) -> HttpResponse:
        """The form for a CSV file, and the result of its import."""
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
    @confirmed(_("These addresses are included in the public counts again."))
    def mark_available(self, request: HttpRequest, queryset: QuerySet[StaticIp]) -> None:
        self._mark(request, queryset, True)

    @admin.action(description=_("Mark as not available"), permissions=["change"])
    @confirmed(_("These addresses are no longer included in the public counts."))
    def mark_unavailable(self, request: HttpRequest, queryset: QuerySet[StaticIp]) -> None:
        self._mark(request, queryset, False)

    def _mark(self, request: HttpRequest, queryset: QuerySet[StaticIp], is_available: bool) -> None:
        changed = static_ips.set_available(queryset.order_by(), is_available, timezone.now())
        self.log_for_all(request, f"{changed} static IPs", f"Marked as {'' if is_available else 'not '}available.")
        self.message_user(request, f"{changed:,} addresses are marked.", messages.SUCCESS)


@admin.register(CountSnapshot)
class CountSnapshotAdmin(ReadOnlyAdmin):
    """Counts and state of each loader."""

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
        """Raw and public counts side by side."""
        public = services.public_counts(timezone.now(), snapshot.proxy_type).get(snapshot.proxy_type, {})
        rows = (
            (pool, service, country, localised(raw), localised(public.get(pool, {}).get(service, {}).get(country, 0)))
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
        return localised(sum(count for pool in _by_default(snapshot).values() for count in pool.values()))

    @admin.action(description="Load all counts again now", permissions=["load"])
    def refresh_now(self, request: HttpRequest, queryset: QuerySet[CountSnapshot]) -> None:
        refresh.refresh(timezone.now(), even_recent=True)
        self.log_for_all(request, "all counts", "Loaded again.")
        stale = [state.proxy_type for state in services.loader_states(timezone.now()) if state.is_stale]
        if stale:
            self.message_user(request, f"Still stale: {', '.join(stale)}.", messages.WARNING)
        else:
            self.message_user(request, "All counts are fresh.", messages.SUCCESS)

    def has_load_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("geo.change_countsnapshot")


def _by_default(snapshot: CountSnapshot) -> dict[str, dict[str, int]]:
    return services.default_service_only({snapshot.proxy_type: snapshot.counts}).get(snapshot.proxy_type, {})
