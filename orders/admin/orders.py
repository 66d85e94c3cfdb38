"""Orders with their remaining bytes.

Orders cannot be deleted, because their traffic stays in ClickHouse and refers to them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import APIException

from accounts.admin_base import confirmed
from accounts.audit import PublishedIdAdmin
from fonproxy.units import gigabytes
from orders import enforcement, ledger, order_actions, proxy_users, renewals
from orders import services as order_services
from orders.admin.sizes import SizesAdmin
from orders.limits import AT_ONCE
from orders.models import CutOff, LedgerEntry, Order, ProxyUser


class ProxyUserInline(admin.TabularInline[ProxyUser, Order]):
    model = ProxyUser
    fields = ("login", "max_connections")
    show_change_link = True
    extra = 0


class StateFilter(admin.SimpleListFilter):
    """Filters by the state last published to gateways, which is at most seconds old."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return CutOff.State.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        match self.value():
            case None:
                return queryset
            case CutOff.State.ACTIVE:
                return queryset.filter(Q(cut_off=None) | Q(cut_off__state=CutOff.State.ACTIVE))
            case state:
                return queryset.filter(pk__in=CutOff.objects.filter(state=state).values("order"))


@admin.register(Order)
class OrderAdmin(SizesAdmin, PublishedIdAdmin):
    kind = "order"
    sizes: ClassVar[dict[str, dict[str, Any]]] = {
        "traffic_limit_bytes": {"label": gettext_lazy("Traffic limit, in GB")},
        "day_limit_bytes": {
            "label": gettext_lazy("Daily limit, in GB"),
            "help_text": gettext_lazy(
                "For an order without a traffic limit. At the limit, the order is stopped until the end of the day."
            ),
        },
    }
    list_display = (
        "name",
        "published_id",
        "user",
        "product",
        "state",
        "limit",
        "left",
        "expires_at",
    )
    csv_columns = (
        "published_id",
        "external_id",
        "name",
        "user",
        "product",
        "state",
        "limit_bytes",
        "left_bytes",
        "started_at",
        "expires_at",
        "period_every",
        "renews_at",
    )
    list_filter: ClassVar[Any] = (StateFilter, "product__network", "product__proxy_type", "product", "period_every")
    list_select_related = ("user", "product")
    search_fields = ("name", "external_id", "user__username", "proxy_users__login")
    search_help_text = "Id, external id, name, user name or proxy login"
    autocomplete_fields = ("user", "product")
    fields = (
        "user",
        "product",
        "name",
        "external_id",
        "traffic_limit_bytes",
        "day_limit_bytes",
        "started_at",
        "expires_at",
        ("period_every", "period_anchor", "period_timezone", "period_rollover"),
    )
    told_fields = ("published_id", "state", "limit", "left", "added", "period_started_at", "renews_at", "created_at")
    ordering = ("-pk",)
    actions = ("suspend", "resume", "expire")
    inlines = (ProxyUserInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        everything: QuerySet[Order] = super().get_queryset(request)
        # A subquery is evaluated for the rows of the page only.
        entries = LedgerEntry.objects.filter(order=OuterRef("pk")).order_by().values("order")
        total = entries.annotate(total=Sum("bytes")).values("total")
        return everything.annotate(left_bytes=Coalesce(Subquery(total), 0))

    def get_urls(self) -> list[URLPattern]:
        step = self.admin_site.admin_view(self.step)
        return [path("<int:number>/step/<slug:name>/", step, name="orders_order_step"), *super().get_urls()]

    def step(self, request: HttpRequest, number: int, name: str) -> HttpResponse:
        """The page of an order action: first a preview of its effect, then the action and its log entry."""
        order = get_object_or_404(Order.objects.select_related("product", "user"), pk=number)
        step, now = order_actions.ORDER_ACTIONS.get(name), timezone.now()
        if step is None:
            raise Http404
        if not self.has_change_permission(request, order):
            raise PermissionDenied
        form = step.form(request.POST if request.method == "POST" else None)
        facts: list[order_actions.OrderFact] = []
        if form.is_valid():
            is_preview = request.POST.get("confirmed") != "yes"
            try:
                with transaction.atomic():
                    facts = order_actions.effect(form, order, request.user.get_username(), now, is_preview=is_preview)
                    if not is_preview:
                        return self._taken(request, order, step, form.cleaned_data["note"], facts)
            except APIException as refusal:
                form.add_error(None, str(refusal.detail))
        context = {
            **self.admin_site.each_context(request),
            "title": step.title,
            "opts": self.opts,
            "order": order,
            "step": step,
            "form": form,
            "changes": bool(facts),
            "facts": facts
            or [
                order_actions.OrderFact(name, value, value)
                for name, value in order_actions.facts_of(order, now).items()
            ],
        }
        return TemplateResponse(request, "admin/orders/order/action.html", context)

    def _taken(
        self,
        request: HttpRequest,
        order: Order,
        step: order_actions.OrderAction,
        note: str,
        facts: list[order_actions.OrderFact],
    ) -> HttpResponse:
        changes = [f"{fact.name}: {fact.now} → {fact.afterwards}" for fact in facts if fact.differs]
        text = f"{step.title}. {'; '.join(changes) or _('No effect.')}"
        self.log_change(request, order, f"{text} {note}".strip())
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:orders_order_change", args=[order.pk]))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        order: Order | None = kwargs.get("obj")
        if order is not None and self.has_change_permission(request, order):
            now = timezone.now()
            context["steps"] = [step for step in order_actions.ORDER_ACTIONS.values() if step.is_offered(order, now)]
        return super().render_change_form(request, context, *args, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Order | None = None) -> Any:
        return self.fields if obj is None else (*self.fields, *self.told_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Order | None = None) -> Any:
        """Customer and product of an order are fixed: its traffic is counted under them."""
        return () if obj is None else ("user", "product", *self.told_fields)

    @admin.display
    def state(self, order: Order) -> str:
        return enforcement.state_of(order, _left(order), timezone.now()).label

    @admin.display(description=gettext_lazy("limit"))
    def limit(self, order: Order) -> str:
        return _("unmetered") if order.limit_bytes is None else gigabytes(order.limit_bytes)

    @admin.display(description=gettext_lazy("left"))
    def left(self, order: Order) -> str:
        return "" if order.limit_bytes is None else gigabytes(_left(order))

    @admin.display
    def left_bytes(self, order: Order) -> int | None:
        return None if order.limit_bytes is None else _left(order)

    @admin.display(description=gettext_lazy("added to the limit"))
    def added(self, order: Order) -> str:
        return gigabytes(order.added_bytes)

    def save_model(self, request: HttpRequest, obj: Order, form: Any, change: bool) -> None:
        now, author = timezone.now(), request.user.get_username()
        obj.period_timezone = obj.period_timezone or "UTC"
        with transaction.atomic():
            if change:
                order_services.change(
                    obj,
                    author=author,
                    now=now,
                    name=obj.name,
                    limit_bytes=obj.traffic_limit_bytes,
                    started_at=obj.started_at,
                    expires_at=obj.expires_at,
                    period=obj.period,
                    day_limit_bytes=obj.day_limit_bytes,
                    zone=obj.period_timezone,
                )
                obj.external_id = obj.external_id or None
                obj.save(update_fields=["external_id"])
            else:
                obj.external_id = obj.external_id or None
                obj.period_started_at = obj.started_at
                obj.limits_due_at = AT_ONCE
                renewals.schedule(obj, now)
                obj.save()
                order_services.opened(obj, author=author, now=now)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        with transaction.atomic():
            order = order_services.locked(form.instance)
            before = set(order.proxy_users.values_list("login", flat=True))
            stopped = set(order.proxy_users.exclude(stopped_until=None).values_list("login", flat=True))
            super().save_related(request, form, formsets, change)
            after = set(order.proxy_users.values_list("login", flat=True))
            enforcement.remember_stopped(stopped - after, timezone.now())
            enforcement.publish_logins(order, before, after, timezone.now())
            proxy_users.publish_removed(before - after, timezone.now())
            for formset in formsets:
                proxy_users.publish([*formset.new_objects, *(row for row, _ in formset.changed_objects)])

    @admin.action(description=gettext_lazy("Suspend selected orders"), permissions=["change"])
    @confirmed(gettext_lazy("Gateways block these orders until they are resumed."))
    def suspend(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._for_each(request, queryset, order_services.suspend, "Suspended.")

    @admin.action(description="Resume selected orders", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._for_each(request, queryset, order_services.resume, "Resumed.")

    @admin.action(description=gettext_lazy("End selected orders now"), permissions=["change"])
    @confirmed(gettext_lazy("These orders end now and lose their remaining traffic."))
    def expire(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._for_each(request, queryset, order_services.expire, "Ended.")

    def _for_each(
        self, request: HttpRequest, queryset: QuerySet[Order], step: Callable[[Order, datetime], Order], done: str
    ) -> None:
        for order in queryset:
            try:
                step(order, timezone.now())
            except APIException as refusal:
                self.message_user(request, f"{order}: {refusal.detail}", messages.ERROR)
                continue
            self.log_change(request, order, done)
            self.message_user(request, f"{order}: {done}", messages.SUCCESS)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _left(order: Order) -> int:
    """The annotated balance of a list; on a form, a query."""
    left: int | None = getattr(order, "left_bytes", None)
    return ledger.balance(order) if left is None else left
