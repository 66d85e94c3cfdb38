"""A member of staff looks at the dashboard as a customer sees it, and can change nothing meanwhile.

Who is looked at stands in the session of whoever looks, so that it ends with that. Both ends are logged. The admin goes
on acting as the member of staff.
"""

from __future__ import annotations

from typing import Final

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User

SESSION_KEY: Final = "view_as"
PERMISSION: Final = "accounts.view_user"


def may_view(staff: User, customer: User) -> bool:
    """Never another member of staff: nobody may come to see by this what they may not see themselves."""
    may_look = staff.is_active and staff.is_staff and staff.has_perm(PERMISSION)
    return may_look and customer.is_active and not (customer.is_staff or customer.is_superuser)


def viewed_as(request: HttpRequest) -> User | None:
    """The customer who is looked at in this session; None when nobody is, or no longer may be."""
    number = request.session.get(SESSION_KEY)
    if number is None:
        return None
    staff, customer = request.user, User.objects.filter(pk=number).first()
    if isinstance(staff, User) and customer is not None and may_view(staff, customer):
        return customer
    del request.session[SESSION_KEY]  # not kept: it would begin again by itself
    return None


def start(request: HttpRequest, customer: User) -> None:
    """Raises PermissionDenied."""
    staff = request.user
    if not (isinstance(staff, User) and may_view(staff, customer)):
        raise PermissionDenied
    if viewed_as(request) != customer:
        stop(request)
        request.session[SESSION_KEY] = customer.pk
        _log(staff, customer, _("Began viewing as this customer."))


def stop(request: HttpRequest) -> User | None:
    """Returns who was looked at; nothing happens when nobody was."""
    customer = viewed_as(request)
    if customer is not None:
        del request.session[SESSION_KEY]
        assert isinstance(request.user, User)  # it has let them look
        _log(request.user, customer, _("Stopped viewing as this customer."))
    return customer


def _log(staff: User, customer: User, message: str) -> None:
    LogEntry.objects.create(
        user=staff,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(customer.pk),
        object_repr=str(customer),
        action_flag=CHANGE,
        change_message=message,
    )
