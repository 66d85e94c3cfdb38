"""What staff see and change of the public counts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from geo import refresh, services
from geo.models import ANY_COUNTRY, CountSnapshot, Multiplier
from geo.multipliers import public_count


@admin.register(Multiplier)
class MultiplierAdmin(admin.ModelAdmin[Multiplier]):
    """Edited in place, beside what each factor does."""

    list_display = ("proxy_type", "pool", "country", "factor", "raw_count", "shown_count", "warning")
    list_editable = ("factor",)
    list_filter = ("proxy_type", "pool")
    search_fields = ("pool", "country")

    @admin.display(description="raw count")
    def raw_count(self, multiplier: Multiplier) -> str:
        return f"{sum(_touched(multiplier).values()):,}"

    @admin.display(description="public count")
    def shown_count(self, multiplier: Multiplier) -> str:
        return f"{sum(public_count(raw, multiplier.factor) for raw in _touched(multiplier).values()):,}"

    @admin.display(description="")
    def warning(self, multiplier: Multiplier) -> str:
        hidden = _hidden(multiplier)
        return (
            format_html('<strong style="color: var(--error-fg)">hides {}</strong>', ", ".join(hidden)) if hidden else ""
        )

    def save_model(self, request: HttpRequest, obj: Multiplier, form: Any, change: bool) -> None:
        services.save_multiplier(obj)
        if hidden := _hidden(obj):
            self.message_user(request, f"{obj} hides {', '.join(hidden)} from the public.", messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Multiplier) -> None:
        services.delete_multipliers(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Multiplier]) -> None:
        services.delete_multipliers(*queryset)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """The history says from what to what."""
        if add:
            return super().construct_change_message(request, form, formsets, add)
        changes = (f"{name} from {form.initial.get(name)} to {form.cleaned_data[name]}" for name in form.changed_data)
        return f"Changed {', '.join(changes) or 'nothing'}."


def _touched(multiplier: Multiplier) -> dict[str, int]:
    """The raw counts, by default service, of the countries that this multiplier decides about."""
    picture = services.picture()
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


@admin.register(CountSnapshot)
class CountSnapshotAdmin(admin.ModelAdmin[CountSnapshot]):
    """How the loaders fare."""

    list_display = ("proxy_type", "state", "countries", "total", "loaded_at", "failed_at", "last_error")
    actions = ("refresh_now",)

    @admin.display
    def state(self, snapshot: CountSnapshot) -> str:
        if services.state_of(snapshot, timezone.now()).is_stale:
            return format_html('<strong style="color: var(--error-fg)">{}</strong>', "stale")
        return "fresh"

    @admin.display
    def countries(self, snapshot: CountSnapshot) -> int:
        return len({country for pool in _by_default(snapshot).values() for country in pool})

    @admin.display
    def total(self, snapshot: CountSnapshot) -> str:
        return f"{sum(count for pool in _by_default(snapshot).values() for count in pool.values()):,}"

    @admin.action(description="Load all counts again now", permissions=["view"])
    def refresh_now(self, request: HttpRequest, queryset: QuerySet[CountSnapshot]) -> None:
        refresh.refresh(timezone.now(), even_recent=True)
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
    return services.default_service_only({snapshot.proxy_type: snapshot.counts})[snapshot.proxy_type]
