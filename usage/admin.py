"""Orders with what is left of them, their ledger and alerts, and what the nightly comparison found.

Orders cannot be deleted: their traffic stays in the engine and would belong to nothing. Ledger entries can only be
added, as what a billing system would post.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.validators import validate_email
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

from accounts.admin import PublishedIdSearch
from accounts.audit import Audited
from accounts.models import Order, ProxyUser
from fonproxy.admin import confirmed
from fonproxy.api.errors import ApiError
from usage import cut_off, ledger, orders, subscriptions
from usage.alerts import deliveries, webhooks
from usage.alerts import services as alerts
from usage.alerts.services import MOST_RECIPIENTS
from usage.console import steps
from usage.console.text import gigabytes
from usage.models import Alert, CutOff, Delivery, Difference, Firing, LedgerEntry, Reason


class ProxyUserInline(admin.TabularInline[ProxyUser, Order]):
    model = ProxyUser
    fields = ("login",)
    extra = 0


class StateFilter(admin.SimpleListFilter):
    """As last published to the proxies, which is within seconds of the truth."""

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


class EndsFilter(admin.SimpleListFilter):
    title = gettext_lazy("end")
    parameter_name = "ends"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("soon", _("ends or runs out within three days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        if self.value() != "soon":
            return queryset
        return queryset.filter(pk__in=subscriptions.ending_soon(timezone.now()).values("pk"))


@admin.register(Order)
class OrderAdmin(PublishedIdSearch):
    kind = "order"
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
    )
    list_filter = (StateFilter, EndsFilter, "product__network", "product__proxy_type", "product")
    list_select_related = ("user", "product")
    search_fields = ("name", "external_id", "user__username", "proxy_users__login")
    search_help_text = "Id, external id, name, user name or proxy login"
    autocomplete_fields = ("user", "product")
    fields = ("user", "product", "name", "external_id", "traffic_limit_bytes", "started_at", "expires_at")
    told_fields = ("published_id", "state", "limit", "left", "added", "period_started_at", "created_at")
    ordering = ("-pk",)
    actions = ("suspend", "resume", "expire")
    inlines = (ProxyUserInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        everything: QuerySet[Order] = super().get_queryset(request)
        # By a subquery, which is made for the page's rows alone.
        entries = LedgerEntry.objects.filter(order=OuterRef("pk")).order_by().values("order")
        total = entries.annotate(total=Sum("bytes")).values("total")
        return everything.annotate(left_bytes=Coalesce(Subquery(total), 0))

    def get_urls(self) -> list[URLPattern]:
        step = self.admin_site.admin_view(self.step)
        return [path("<int:number>/step/<slug:name>/", step, name="accounts_order_step"), *super().get_urls()]

    def step(self, request: HttpRequest, number: int, name: str) -> HttpResponse:
        """One step in the order's life: asked for, tried and shown, then taken and logged."""
        order = get_object_or_404(Order.objects.select_related("product", "user"), pk=number)
        step, now = steps.STEPS.get(name), timezone.now()
        if step is None:
            raise Http404
        if not self.has_change_permission(request, order):
            raise PermissionDenied
        form = step.form(request.POST if request.method == "POST" else None)
        facts: list[steps.Fact] = []
        if form.is_valid():
            is_trial = request.POST.get("confirmed") != "yes"
            try:
                with transaction.atomic():
                    facts = steps.effect(form, order, request.user.get_username(), now, is_trial=is_trial)
                    if not is_trial:
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
            "facts": facts or [steps.Fact(name, told, told) for name, told in steps.facts_of(order, now).items()],
        }
        return TemplateResponse(request, "admin/accounts/order/step.html", context)

    def _taken(
        self, request: HttpRequest, order: Order, step: steps.Step, note: str, facts: list[steps.Fact]
    ) -> HttpResponse:
        changes = [f"{fact.name}: {fact.now} → {fact.afterwards}" for fact in facts if fact.differs]
        told = f"{step.title}. {'; '.join(changes) or _('No effect.')}"
        self.log_change(request, order, f"{told} {note}".strip())
        self.message_user(request, told, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:accounts_order_change", args=[order.pk]))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        order: Order | None = kwargs.get("obj")
        if order is not None and self.has_change_permission(request, order):
            now = timezone.now()
            context["steps"] = [step for step in steps.STEPS.values() if step.is_offered(order, now)]
        return super().render_change_form(request, context, *args, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Order | None = None) -> Any:
        return self.fields if obj is None else (*self.fields, *self.told_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Order | None = None) -> Any:
        """An order never changes hands or kind: what it carried was counted under those."""
        return () if obj is None else ("user", "product", *self.told_fields)

    @admin.display
    def state(self, order: Order) -> str:
        return cut_off.state_of(order, _left(order), timezone.now()).label

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
        with transaction.atomic():
            if change:
                orders.change(
                    obj,
                    author=author,
                    now=now,
                    name=obj.name,
                    limit_bytes=obj.traffic_limit_bytes,
                    started_at=obj.started_at,
                    expires_at=obj.expires_at,
                )
                Order.objects.filter(pk=obj.pk).update(external_id=obj.external_id or None)
            else:
                obj.external_id = obj.external_id or None
                obj.period_started_at = obj.started_at
                obj.save()
                orders.opened(obj, author=author, now=now)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        with transaction.atomic():
            order = orders.locked(form.instance)
            before = set(order.proxy_users.values_list("login", flat=True))
            super().save_related(request, form, formsets, change)
            after = set(order.proxy_users.values_list("login", flat=True))
            cut_off.publish_logins(order, before, after, timezone.now())

    @admin.action(description=gettext_lazy("Suspend selected orders"), permissions=["change"])
    @confirmed(gettext_lazy("Proxies stop the traffic of these orders until they are resumed."))
    def suspend(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._for_each(request, queryset, orders.suspend, "Suspended.")

    @admin.action(description="Resume selected orders", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._for_each(request, queryset, orders.resume, "Resumed.")

    @admin.action(description=gettext_lazy("End selected orders now"), permissions=["change"])
    @confirmed(gettext_lazy("These orders end now, and what is left of them is taken back."))
    def expire(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self._for_each(request, queryset, orders.expire, "Ended.")

    def _for_each(
        self, request: HttpRequest, queryset: QuerySet[Order], step: Callable[[Order, datetime], Order], done: str
    ) -> None:
        for order in queryset:
            step(order, timezone.now())
            self.log_change(request, order, done)
        self.message_user(request, done, messages.SUCCESS)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _left(order: Order) -> int:
    """As annotated in a list; an order that was just saved is asked about again."""
    left: int | None = getattr(order, "left_bytes", None)
    return ledger.balance(order) if left is None else left


class ReadOnly(Audited):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


Row = TypeVar("Row", bound=Model)


class ServiceForm(forms.ModelForm[Row]):
    """A form that leaves saving to the service which the APIs use, and shows what it refuses."""

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if self.errors:
            return given
        try:
            with transaction.atomic():  # tried, and taken back: so that the form can say what is wrong
                self.apply("", timezone.now())
                transaction.set_rollback(True)
        except ApiError as refusal:
            raise forms.ValidationError(str(refusal)) from None
        return given

    def apply(self, author: str, now: datetime) -> Row:
        """Raises ApiError."""
        raise NotImplementedError


class CreditForm(ServiceForm[LedgerEntry]):
    """A top-up, refund or adjustment, posted as a billing system would."""

    reason = forms.ChoiceField(choices=[(reason.value, reason.label) for reason in orders.CREDITS])

    class Meta:
        model = LedgerEntry
        fields = ("order", "reason", "bytes", "reference", "note")

    def apply(self, author: str, now: datetime) -> LedgerEntry:
        given = self.cleaned_data
        entry, _ = orders.credit(
            given["order"],
            Reason(given["reason"]),
            given["bytes"],
            reference=given["reference"] or None,
            author=author,
            now=now,
            note=given["note"],
        )
        return entry


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly):
    form = CreditForm
    list_display = ("period_date", "order", "reason", "bytes", "requests", "reference", "author", "note", "created_at")
    list_filter = ("reason", "period_date", "order__product__network")
    list_select_related = ("order",)
    ordering = ("-pk",)
    search_fields = ("reference", "order__name", "order__external_id", "order__user__username")
    autocomplete_fields = ("order",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return Audited.has_add_permission(self, request)

    def save_model(self, request: HttpRequest, obj: LedgerEntry, form: Any, change: bool) -> None:
        posted = form.apply(request.user.get_username(), timezone.now())
        obj.pk = posted.pk
        obj.refresh_from_db()


@admin.register(CutOff)
class CutOffAdmin(ReadOnly):
    list_display = ("number", "order", "state", "changed_at")
    list_filter = ("state",)
    list_select_related = ("order",)
    search_fields = ("order__name", "order__external_id", "order__user__username", "order__proxy_users__login")
    ordering = ("-number",)


@admin.register(Difference)
class DifferenceAdmin(ReadOnly):
    list_display = ("found_at", "order", "day", "recorded", "measured")
    list_filter = ("found_at",)
    list_select_related = ("order",)
    search_fields = ("order__name", "order__external_id", "order__user__username")
    ordering = ("-pk",)


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea({"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]


class AlertForm(ServiceForm[Alert]):
    """An alert as a customer would make it."""

    recipients = LinesField(
        required=False, help_text=gettext_lazy("Addresses beside the customer's own, one on each line.")
    )

    class Meta:
        model = Alert
        fields = ("order", "threshold_percent", "method", "recipients", "webhook_url")

    def apply(self, author: str, now: datetime) -> Alert:
        given = self.cleaned_data
        if self.instance.pk is None:
            return alerts.create(
                given["order"],
                given["threshold_percent"],
                given["method"],
                recipients=given["recipients"],
                webhook_url=given["webhook_url"],
                now=now,
            )
        changes = {name: given[name] for name in ("threshold_percent", "recipients", "webhook_url")}
        return alerts.change(self.instance, changes, now)

    def clean_webhook_url(self) -> str:
        url: str = self.cleaned_data["webhook_url"]
        try:
            if url:
                webhooks.check_url(url)
        except webhooks.BadUrl as fault:
            raise forms.ValidationError(str(fault)) from None
        return url

    def clean_recipients(self) -> list[str]:
        recipients: list[str] = self.cleaned_data["recipients"]
        if len(recipients) > MOST_RECIPIENTS:
            raise forms.ValidationError(f"Must be at most {MOST_RECIPIENTS} addresses.")
        for address in recipients:
            validate_email(address)
        return recipients


@admin.register(Alert)
class AlertAdmin(Audited):
    form = AlertForm
    list_display = ("order", "threshold_percent", "method", "state", "last_fired_at", "created_at")
    list_filter = ("method", "is_armed", "threshold_percent")
    list_select_related = ("order",)
    search_fields = ("order__name", "order__external_id", "order__user__username", "webhook_url")
    autocomplete_fields = ("order",)
    readonly_fields = ("state", "last_fired_at")
    fields = ("order", "threshold_percent", "method", "recipients", "webhook_url", "state", "last_fired_at")
    ordering = ("-pk",)

    def get_readonly_fields(self, request: HttpRequest, obj: Alert | None = None) -> Any:
        return self.readonly_fields if obj is None else ("order", "method", *self.readonly_fields)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What fired goes with its alert, as it does when the customer deletes it; by itself nobody deletes that."""
        objects, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return objects, counts, set(lacking) - {Firing._meta.verbose_name}, protected

    @admin.display
    def state(self, alert: Alert) -> str:
        return "armed" if alert.is_armed else "fired"

    def save_model(self, request: HttpRequest, obj: Alert, form: Any, change: bool) -> None:
        obj.pk = form.apply(request.user.get_username(), timezone.now()).pk
        obj.refresh_from_db()


class DeliveryInline(admin.TabularInline[Delivery, Firing]):
    model = Delivery
    fields = readonly_fields = ("target", "attempts", "next_attempt_at", "delivered_at", "gave_up_at", "last_error")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class DeliveryFilter(admin.SimpleListFilter):
    title = "delivery"
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failing", "failing or waiting"), ("given-up", "given up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        waiting = Delivery.objects.filter(delivered_at=None, gave_up_at__isnull=self.value() == "failing")
        return queryset.filter(deliveries__in=waiting).distinct() if self.value() else queryset


@admin.register(Firing)
class FiringAdmin(ReadOnly):
    list_display = ("fired_at", "alert", "threshold_percent", "percent", "delivered", "last_error")
    list_filter = (DeliveryFilter, "fired_at", "threshold_percent")
    list_select_related = ("alert",)
    search_fields = ("id", "alert__order__name", "alert__order__user__username", "deliveries__target")
    inlines = (DeliveryInline,)
    actions = ("send_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Firing]:
        firings: QuerySet[Firing] = super().get_queryset(request).prefetch_related("deliveries")
        return firings

    @admin.display
    def delivered(self, firing: Firing) -> str:
        every = firing.deliveries.all()
        return f"{sum(delivery.delivered_at is not None for delivery in every)} of {len(every)}"

    @admin.display
    def last_error(self, firing: Firing) -> str:
        return "; ".join(delivery.last_error for delivery in firing.deliveries.all() if delivery.last_error)

    # Telling a customer again changes nothing of ours, but is not for those who may only look.
    @admin.action(description="Send selected firings again", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Firing]) -> None:
        sent = deliveries.send_again(Delivery.objects.filter(firing__in=queryset), timezone.now())
        for firing in queryset:
            self.log_change(request, firing, "Sent again.")
        self.message_user(request, f"{sent} messages will be sent again within seconds.", messages.SUCCESS)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("usage.change_firing")
