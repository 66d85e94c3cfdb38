"""Which account a session views: its person's own, that of a team, or for staff a customer's.

The session stores the choice. Every request checks in the database whether it is still allowed, so a removal takes
effect at once. Staff can change nothing while viewing, and the start and end of viewing are logged. The admin still
acts as the member of staff.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.signals import user_logged_in
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.utils.translation import gettext as _

from accounts.models import Membership, Role, User
from accounts.powers import VIEW_CUSTOMERS, staff_may

# Separate keys, so that a member who becomes staff does not view the account without `start`, which checks and logs.
STAFF_KEY: Final = "view_as"
TEAM_KEY: Final = "account"


@dataclass(frozen=True, slots=True)
class Viewed:
    """The account that ``person`` views, and the role. Staff see what the account's owner sees."""

    person: User
    account: User
    role: Role
    is_by_staff: bool = False

    @property
    def is_own(self) -> bool:
        return self.account == self.person

    @property
    def subject(self) -> User:
        """Whose name, time zone and sign-in the page shows: the person's, or for staff the customer's."""
        return self.account if self.is_by_staff else self.person

    @property
    def is_owner(self) -> bool:
        return self.may(Role.OWNER)

    @property
    def is_manager(self) -> bool:
        return self.may(Role.MANAGER)

    def may(self, needed: Role) -> bool:
        return self.role.includes(needed)


def viewed(request: HttpRequest) -> Viewed:
    """What the signed-in user of this request views.

    Cached, because the API later replaces ``request.user`` by the account.
    """
    found: Viewed | None = getattr(request, "_viewed", None)
    if found is None:
        assert isinstance(request.user, User)
        found = request._viewed = _look_up(request, request.user)  # type: ignore[attr-defined]
    return found


def viewed_as(request: HttpRequest) -> User | None:
    """The customer whom staff view in this session; None without one, or if viewing is no longer allowed."""
    if not request.user.is_authenticated:
        return None
    found = viewed(request)
    return found.account if found.is_by_staff else None


def may_view(staff: User, customer: User) -> bool:
    """Never another member of staff: viewing must not grant access beyond the viewer's own permissions."""
    return staff_may(staff, VIEW_CUSTOMERS) and customer.is_active and not customer.has_powers


def accounts_of(person: User) -> QuerySet[Membership]:
    """The memberships through which the person may view accounts, by name. Staff have none: they view as customers."""
    if person.has_powers:
        return Membership.objects.none()
    may_be_viewed = {"account__is_active": True, "account__is_staff": False, "account__is_superuser": False}
    return person.memberships.filter(**may_be_viewed).select_related("account").order_by("account__username")


def switch(request: HttpRequest, person: User, account: User, now: datetime) -> bool:
    """Views the account from now on, and again after the next sign-in; False if the person may not.

    CSRF tokens of forms in other tabs become invalid, because those forms show the previous account.
    """
    membership = accounts_of(person).filter(account=account).first()
    if membership is None and account != person:
        return False
    if membership is None:
        person.memberships.update(opened_at=None)
        request.session.pop(TEAM_KEY, None)
    else:
        person.memberships.filter(pk=membership.pk).update(opened_at=now)
        request.session[TEAM_KEY] = account.pk
    rotate_token(request)
    _forget(request)
    return True


def start(request: HttpRequest, customer: User) -> None:
    """Raises PermissionDenied."""
    staff = request.user
    if not (isinstance(staff, User) and may_view(staff, customer)):
        raise PermissionDenied
    if viewed_as(request) != customer:
        stop(request)
        request.session[STAFF_KEY] = customer.pk
        _forget(request)
        _log(staff, customer, _("Began viewing as this customer."))


def stop(request: HttpRequest) -> User | None:
    """Ends viewing; returns the customer whom staff viewed, or None."""
    customer = viewed_as(request)
    if customer is not None:
        del request.session[STAFF_KEY]
        _forget(request)
        assert isinstance(request.user, User)  # viewing was allowed until now
        _log(request.user, customer, _("Stopped viewing as this customer."))
    return customer


def open_last(sender: object, request: HttpRequest, user: User, **_: object) -> None:
    """Receives ``user_logged_in``: restores the account that the person used last."""
    last = accounts_of(user).filter(opened_at__isnull=False).order_by("-opened_at").first()
    if last is not None:
        request.session[TEAM_KEY] = last.account_id


def register() -> None:
    user_logged_in.connect(open_last)


def _look_up(request: HttpRequest, person: User) -> Viewed:
    key, other = (STAFF_KEY, TEAM_KEY) if person.has_powers else (TEAM_KEY, STAFF_KEY)
    request.session.pop(other, None)
    number = request.session.get(key)
    if number is not None:
        found = _by_staff(person, number) if person.has_powers else _in_team(person, number)
        if found is not None:
            return found
        del request.session[key]  # not stored, otherwise viewing would resume later
    return Viewed(person, person, Role.OWNER)


def _by_staff(staff: User, number: int) -> Viewed | None:
    customer = User.objects.filter(pk=number).first()
    is_allowed = customer is not None and may_view(staff, customer)
    return Viewed(staff, customer, Role.OWNER, is_by_staff=True) if customer and is_allowed else None


def _in_team(person: User, number: int) -> Viewed | None:
    membership = accounts_of(person).filter(account_id=number).first()
    return Viewed(person, membership.account, Role(membership.role)) if membership else None


def _forget(request: HttpRequest) -> None:
    if hasattr(request, "_viewed"):
        del request._viewed


def _log(staff: User, customer: User, message: str) -> None:
    LogEntry.objects.create(
        user=staff,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(customer.pk),
        object_repr=str(customer),
        action_flag=CHANGE,
        change_message=message,
    )
