"""Staff actions on an order. Each is first run and rolled back, to preview its effect."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.db import transaction
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fonproxy.units import GIB, gigabytes
from orders import enforcement, ledger
from orders import services as order_services
from orders.models import CutOff, LedgerReason, Order


class OrderActionForm(forms.Form):
    required_css_class = "required"
    note = forms.CharField(
        label=gettext_lazy("Note"), max_length=400, required=False, help_text=gettext_lazy("Why; it is kept.")
    )

    def apply(self, order: Order, author: str, now: datetime) -> None:
        """Raises ApiProblem."""
        raise NotImplementedError


class ReferencedForm(OrderActionForm):
    """Posts under a reference, so that sending the form twice posts once."""

    reference = forms.CharField(
        label=gettext_lazy("Reference"),
        max_length=128,
        initial=lambda: f"console-{uuid.uuid4()}",
        help_text=gettext_lazy("The billing system's id for this posting, if it has one. A reference is posted once."),
    )


def _bytes(size: Decimal) -> int:
    return int(size * GIB)


def _size(**options: Any) -> forms.DecimalField:
    widget = forms.NumberInput(attrs={"autofocus": True})
    return forms.DecimalField(
        label=gettext_lazy("Gigabytes"), max_digits=12, decimal_places=3, widget=widget, **options
    )


class CreditActionForm(ReferencedForm):
    reason: LedgerReason
    size = _size(min_value=Decimal("0.001"))
    field_order = ("size",)

    def apply(self, order: Order, author: str, now: datetime) -> None:
        given = self.cleaned_data
        order_services.credit(
            order,
            self.reason,
            _bytes(given["size"]),
            reference=given["reference"],
            author=author,
            now=now,
            note=given["note"],
        )


class TopUpForm(CreditActionForm):
    reason = LedgerReason.TOP_UP


class RefundForm(CreditActionForm):
    reason = LedgerReason.REFUND


class AdjustForm(CreditActionForm):
    reason = LedgerReason.ADJUSTMENT
    size = _size(help_text=gettext_lazy("Negative to reduce the limit."))


class RenewForm(ReferencedForm):
    size = _size(required=False, min_value=Decimal(0), help_text=gettext_lazy("Empty: the same limit as before."))
    expires_at = forms.DateTimeField(
        label=gettext_lazy("Ends, in UTC"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=gettext_lazy("Empty: the same end as before."),
    )
    field_order = ("size", "expires_at")

    def apply(self, order: Order, author: str, now: datetime) -> None:
        given = self.cleaned_data
        order_services.renew(
            order,
            reference=given["reference"],
            author=author,
            now=now,
            amount=None if given["size"] is None else _bytes(given["size"]),
            expires_at=given["expires_at"],
            note=given["note"],
        )


class SuspendForm(OrderActionForm):
    def apply(self, order: Order, author: str, now: datetime) -> None:
        order_services.suspend(order, now)


class ResumeForm(OrderActionForm):
    def apply(self, order: Order, author: str, now: datetime) -> None:
        order_services.resume(order, now)


class ExpireForm(OrderActionForm):
    def apply(self, order: Order, author: str, now: datetime) -> None:
        order_services.expire(order, now)


@dataclass(frozen=True, slots=True)
class OrderAction:
    name: str
    title: Promise
    effect: Promise
    form: type[OrderActionForm]
    is_offered: Callable[[Order, datetime], bool]


def _takes_credit(order: Order, now: datetime) -> bool:
    return order.limit_bytes is not None and order.period_closed_at is None and not _has_expired(order, now)


def _has_expired(order: Order, now: datetime) -> bool:
    return order.has_expired(now)


ORDER_ACTIONS: Final = {
    step.name: step
    for step in (
        OrderAction(
            "top-up",
            gettext_lazy("Top up"),
            gettext_lazy("Adds to this period's limit. An exhausted order is unblocked."),
            TopUpForm,
            _takes_credit,
        ),
        OrderAction(
            "refund",
            gettext_lazy("Refund"),
            gettext_lazy("Gives traffic back to the customer: adds to this period's limit."),
            RefundForm,
            _takes_credit,
        ),
        OrderAction(
            "adjust",
            gettext_lazy("Adjust"),
            gettext_lazy("Changes this period's limit either way. Gateways block an order with nothing left."),
            AdjustForm,
            _takes_credit,
        ),
        OrderAction(
            "renew",
            gettext_lazy("Renew"),
            gettext_lazy("Begins a new period now with its own limit; the remainder of the current one is lost."),
            RenewForm,
            lambda order, now: True,
        ),
        OrderAction(
            "suspend",
            gettext_lazy("Suspend"),
            gettext_lazy("Gateways block the order until it is resumed. Its traffic is kept."),
            SuspendForm,
            lambda order, now: order.suspended_at is None and not _has_expired(order, now),
        ),
        OrderAction(
            "resume",
            gettext_lazy("Resume"),
            gettext_lazy("Gateways accept the order again if it has traffic left."),
            ResumeForm,
            lambda order, now: order.suspended_at is not None and not _has_expired(order, now),
        ),
        OrderAction(
            "expire",
            gettext_lazy("End now"),
            gettext_lazy("Ends the order now; its remaining traffic is lost. Only a renewal reactivates it."),
            ExpireForm,
            lambda order, now: not _has_expired(order, now),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class OrderFact:
    """A property of an order before and after an action."""

    name: str
    now: str
    afterwards: str

    @property
    def differs(self) -> bool:
        return self.now != self.afterwards


def facts_of(order: Order, now: datetime) -> dict[str, str]:
    left = ledger.balance(order)
    metered = order.limit_bytes is not None
    return {
        _("State"): str(CutOff.State(enforcement.state_of(order, left, now)).label),
        _("Limit of this period"): gigabytes(order.limit_bytes or 0) if metered else _("unmetered"),
        _("Left"): gigabytes(left) if metered else _("unmetered"),
        _("Period"): str(order.period_number),
        _("Ends, in UTC"): date_format(order.expires_at, "DATETIME_FORMAT") if order.expires_at else _("never"),
    }


def effect(form: OrderActionForm, order: Order, author: str, now: datetime, *, is_preview: bool) -> list[OrderFact]:
    """Performs the action and returns its effect; a preview is rolled back. Raises APIException and changes nothing."""
    before = facts_of(order, now)
    with transaction.atomic():
        form.apply(order, author, now)
        after = facts_of(Order.objects.get(pk=order.pk), now)
        if is_preview:
            transaction.set_rollback(True)
    return [OrderFact(name, value, after[name]) for name, value in before.items()]
