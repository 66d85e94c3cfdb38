"""The page of a customer, its notes, and *Stop everything*."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import audit_trail, viewing
from accounts.admin import ask_for_proof
from accounts.models import User
from console import customer, stop_everything
from console.pages import page, require
from console.stop_everything import Reach
from orders.models import Order

Section = Callable[[User, datetime], dict[str, Any]]
MAY_STOP: Final = ("accounts.change_user", "orders.change_order")


class NoteForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("Note"), max_length=1000, widget=forms.Textarea(attrs={"rows": 2, "cols": 60})
    )


class StopForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=400,
        required=False,
        widget=forms.TextInput(attrs={"size": 60, "autofocus": True}),
        help_text=gettext_lazy("Kept in the audit log."),
    )


@require_safe
def customer_page(request: HttpRequest, number: int) -> HttpResponse:
    """Everything about a customer that the user may see."""
    require(request, "accounts.view_user")
    user, now = get_object_or_404(User, pk=number), timezone.now()
    staff = request.user
    assert isinstance(staff, User)
    sections: dict[str, Section] = {
        "orders.view_order": _order_section,
        "orders.view_proxyuser": _login_section,
        "accounts.view_apikey": lambda user, now: {"keys": [(key, key.is_active(now)) for key in customer.keys(user)]},
        "usage.view_firing": lambda user, now: {"firings": customer.firings(user)},
        "orders.view_ledgerentry": lambda user, now: {"ledger": customer.ledger_lines(user)},
        "admin.view_logentry": lambda user, now: {
            "entries": customer.log_entries(user),
            "notes": customer.notes(user),
        },
        "accounts.view_auditrecord": lambda user, now: {"records": customer.audit_records(user)},
    }
    stopped = stop_everything.stops(user).first()
    shown: dict[str, Any] = {}
    for permission, section in sections.items():
        if staff.has_perm(permission):
            shown.update(section(user, now))
    return page(
        request,
        "customer",
        user.get_username(),
        customer=user,
        usage=customer.usage_line(user, now),
        errors=customer.recent_errors(user, now),
        may_be_viewed=viewing.may_view(staff, user),
        may_stop=_may_stop(staff, user),
        may_credit=staff.has_perm("orders.change_order"),
        may_note=_may_note(request, user),
        stopped=stopped,
        stopped_by=stopped and audit_trail.authors_of([stopped])[stopped.pk].user,
        reach=stop_everything.reach(user, now),
        undo_reach=stop_everything.undo_reach(user, now),
        note_form=NoteForm(),
        **shown,
    )


def _order_section(user: User, now: datetime) -> dict[str, Any]:
    orders = user.orders.select_related("product").order_by("-pk")
    shown = customer.order_lines(list(orders[: customer.MAX_ORDERS]), now)
    return {"orders": shown, "order_count": orders.count()}


def _login_section(user: User, now: datetime) -> dict[str, Any]:
    logins, number = customer.login_lines(user, now)
    return {"logins": logins, "login_count": number}


def _may_stop(staff: User, user: User) -> bool:
    """Only customers: staff are deactivated by superusers, one at a time."""
    return staff.has_perms(MAY_STOP) and not user.has_powers


def _may_note(request: HttpRequest, user: User) -> bool:
    """Requires permission to change the account, so only superusers may add notes about other staff."""
    return bool(admin.site.get_model_admin(User).has_change_permission(request, user))


@require_POST
def add_note(request: HttpRequest, number: int) -> HttpResponse:
    """Adds a note to the customer's audit log, which cannot be changed."""
    require(request, "accounts.view_user")
    user, form = get_object_or_404(User, pk=number), NoteForm(request.POST)
    if not _may_note(request, user):
        raise PermissionDenied
    if form.is_valid():
        _log(request, user, customer.NOTE + form.cleaned_data["note"])
    else:
        messages.error(request, _("A note must have 1 to 1,000 characters."))
    return _to_page(user)


class Change(NamedTuple):
    """A change of everything that a customer can use, with the texts of its page, its messages and the audit log."""

    look: Callable[[User, datetime], Reach]
    apply: Callable[[User, User, datetime], Reach]
    title: Promise
    order_entry: str
    user_entry: str
    done: Promise
    nothing: Promise
    is_undo: bool


STOP: Final = Change(
    stop_everything.reach,
    stop_everything.stop,
    gettext_lazy("Stop everything for %(name)s"),
    "Suspended with everything of",
    "Stopped everything",
    gettext_lazy("Stopped everything for %(name)s."),
    gettext_lazy("Everything was already stopped for %(name)s."),
    is_undo=False,
)
UNDO: Final = Change(
    stop_everything.undo_reach,
    stop_everything.undo,
    gettext_lazy("Undo the stop for %(name)s"),
    "Resumed with everything of",
    "Undid the stop",
    gettext_lazy("%(name)s can use what was stopped again."),
    gettext_lazy("The stop for %(name)s was already undone."),
    is_undo=True,
)


@require_http_methods(["GET", "HEAD", "POST"])
def stop_or_resume(request: HttpRequest, number: int, change: Change) -> HttpResponse:
    """Previews what the change affects, then performs it."""
    user, staff = _allowed(request, number)
    if proof := ask_for_proof(request):
        return proof
    now, form = timezone.now(), StopForm(request.POST if request.method == "POST" else None)
    name = {"name": user}
    if not form.is_valid():
        context = {"customer": user, "reach": change.look(user, now), "form": form, "is_undo": change.is_undo}
        return page(request, "stop", str(change.title) % name, **context)
    try:
        reach = change.apply(user, staff, now)
    except stop_everything.NothingToDo:
        messages.info(request, str(change.nothing) % name)
        return _to_page(user)
    note = form.cleaned_data["note"]
    for order in reach.orders:
        _log(request, order, f"{change.order_entry} {user}. {note}".strip())
    _log(request, user, f"{change.user_entry}: {_summary(reach)}. {note}".strip())
    messages.success(request, str(change.done) % name)
    return _to_page(user)


def _allowed(request: HttpRequest, number: int) -> tuple[User, User]:
    """The customer and the member of staff. Raises PermissionDenied."""
    require(request, *MAY_STOP)
    user, staff = get_object_or_404(User, pk=number), request.user
    assert isinstance(staff, User)
    if not _may_stop(staff, user):
        raise PermissionDenied
    return user, staff


def _summary(reach: Reach) -> str:
    """The numbers of affected objects, for the audit log."""
    return (
        f"{len(reach.orders)} orders with {len(reach.logins)} logins, {len(reach.keys)} API keys, "
        f"{len(reach.applications)} applications, {reach.sign_ins} sign-ins"
    )


def _log(request: HttpRequest, row: User | Order, message: str) -> None:
    admin.site.get_model_admin(type(row)).log_change(request, row, message)


def _to_page(user: User) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:console_customer", args=[user.pk]))


PAGES: Final = (
    ("customers/<int:number>/", "customer", customer_page),
    ("customers/<int:number>/note/", "note", add_note),
    ("customers/<int:number>/stop/", "stop", partial(stop_or_resume, change=STOP)),
    ("customers/<int:number>/resume/", "resume", partial(stop_or_resume, change=UNDO)),
)
