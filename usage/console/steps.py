"""What staff do in the life of one order. Each is tried first, and taken back, so that its effect is seen before."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Order
from usage import cut_off, ledger, orders
from usage.console.text import GIB, gigabytes
from usage.models import CutOff, Reason


class StepForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("Note"), max_length=400, required=False, help_text=gettext_lazy("Why; it is kept.")
    )

    def apply(self, order: Order, author: str, now: datetime) -> None:
        """Raises ApiError."""
        raise NotImplementedError


class ReferencedForm(StepForm):
    """Posts to the ledger under a reference, so that sending the form twice posts once."""

    reference = forms.CharField(
        label=gettext_lazy("Reference"),
        max_length=128,
        initial=lambda: f"console-{uuid.uuid4()}",
        help_text=gettext_lazy("The billing system's own id for it, if it has one. It is posted once."),
    )


def _bytes(size: Decimal) -> int:
    return int(size * GIB)


def _size(**options: Any) -> forms.DecimalField:
    return forms.DecimalField(label=gettext_lazy("Gigabytes"), max_digits=12, decimal_places=3, **options)


class CreditForm(ReferencedForm):
    reason: Reason
    size = _size(min_value=Decimal("0.001"))
    field_order = ("size",)

    def apply(self, order: Order, author: str, now: datetime) -> None:
        given = self.cleaned_data
        orders.credit(
            order,
            self.reason,
            _bytes(given["size"]),
            reference=given["reference"],
            author=author,
            now=now,
            note=given["note"],
        )


class TopUpForm(CreditForm):
    reason = Reason.TOP_UP


class RefundForm(CreditForm):
    reason = Reason.REFUND


class AdjustForm(CreditForm):
    reason = Reason.ADJUSTMENT
    size = _size(help_text=gettext_lazy("Below zero to take away."))


class RenewForm(ReferencedForm):
    size = _size(required=False, min_value=Decimal(0), help_text=gettext_lazy("Empty: the same limit as before."))
    expires_at = forms.DateTimeField(
        label=gettext_lazy("Ends, in UTC"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=gettext_lazy("Empty: when it ended before."),
    )
    field_order = ("size", "expires_at")

    def apply(self, order: Order, author: str, now: datetime) -> None:
        given = self.cleaned_data
        orders.renew(
            order,
            reference=given["reference"],
            author=author,
            now=now,
            amount=None if given["size"] is None else _bytes(given["size"]),
            expires_at=given["expires_at"],
            note=given["note"],
        )


class SuspendForm(StepForm):
    def apply(self, order: Order, author: str, now: datetime) -> None:
        orders.suspend(order, now)


class ResumeForm(StepForm):
    def apply(self, order: Order, author: str, now: datetime) -> None:
        orders.resume(order, now)


class ExpireForm(StepForm):
    def apply(self, order: Order, author: str, now: datetime) -> None:
        orders.expire(order, now)


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    title: Promise
    effect: Promise
    form: type[StepForm]
    is_offered: Callable[[Order, datetime], bool]


def _takes_credit(order: Order, now: datetime) -> bool:
    return order.limit_bytes is not None and order.period_closed_at is None and not _has_expired(order, now)


def _has_expired(order: Order, now: datetime) -> bool:
    return order.expires_at is not None and order.expires_at <= now


STEPS: Final = {
    step.name: step
    for step in (
        Step(
            "top-up",
            gettext_lazy("Top up"),
            gettext_lazy("Adds to this period's limit. An order that was used up goes on."),
            TopUpForm,
            _takes_credit,
        ),
        Step(
            "refund",
            gettext_lazy("Refund"),
            gettext_lazy("Gives traffic back: adds to this period's limit."),
            RefundForm,
            _takes_credit,
        ),
        Step(
            "adjust",
            gettext_lazy("Adjust"),
            gettext_lazy("Adds to this period's limit, or takes from it. Proxies stop an order with nothing left."),
            AdjustForm,
            _takes_credit,
        ),
        Step(
            "renew",
            gettext_lazy("Renew"),
            gettext_lazy("Begins a new period now: what is left is taken back, what is bought is added."),
            RenewForm,
            lambda order, now: True,
        ),
        Step(
            "suspend",
            gettext_lazy("Suspend"),
            gettext_lazy("Proxies stop the order's traffic until it is resumed. Nothing is taken back."),
            SuspendForm,
            lambda order, now: order.suspended_at is None and not _has_expired(order, now),
        ),
        Step(
            "resume",
            gettext_lazy("Resume"),
            gettext_lazy("Proxies carry the order's traffic again, if something is left."),
            ResumeForm,
            lambda order, now: order.suspended_at is not None,
        ),
        Step(
            "expire",
            gettext_lazy("End now"),
            gettext_lazy("Ends the order now. What is left is taken back; only a renewal brings it back to life."),
            ExpireForm,
            lambda order, now: not _has_expired(order, now),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about an order as it is, and as it would be."""

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
        _("State"): str(CutOff.State(cut_off.state_of(order, left, now)).label),
        _("Limit of this period"): gigabytes(order.limit_bytes or 0) if metered else _("unmetered"),
        _("Left"): gigabytes(left) if metered else _("unmetered"),
        _("Period"): str(order.period_number),
        _("Ends, in UTC"): f"{order.expires_at:%Y-%m-%d %H:%M}" if order.expires_at else _("never"),
    }


def effect(form: StepForm, order: Order, author: str, now: datetime, *, is_trial: bool) -> list[Fact]:
    """Takes the step, and says what it changed; a trial is taken back. Raises APIException and changes nothing."""
    before = facts_of(order, now)
    with transaction.atomic():
        form.apply(order, author, now)
        after = facts_of(Order.objects.get(pk=order.pk), now)
        if is_trial:
            transaction.set_rollback(True)
    return [Fact(name, told, after[name]) for name, told in before.items()]
