"""Reads of accounts: one customer's own rows, and bulk look-ups for the attribution of traffic.

A published id that is malformed, of another kind, unknown or another account's always raises the same NotFound, so that
a response does not reveal which ids exist.
"""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound

from accounts.models import ApiKey, User
from accounts.powers import VIEW_CUSTOMERS, staff_may
from fonproxy import ids
from fonproxy.api.errors import Conflict
from fonproxy.numbers import WHOLE_NUMBER


def account_for(caller: User, named: str | None) -> int:
    """The user whose data a read is about: the caller, or any user for staff who may view users; raises NotFound.

    Staff may name the user by published id or by the number under which gateways push.
    """
    if named is None:
        return caller.pk
    may_see_others = staff_may(caller, VIEW_CUSTOMERS)
    user_id = ids.decode("user", named)
    if user_id is None and may_see_others and WHOLE_NUMBER.fullmatch(named):
        user_id = int(named)
    if user_id == caller.pk:
        return caller.pk
    if user_id is None or not may_see_others or not User.objects.filter(pk=user_id).exists():
        raise NotFound
    return user_id


def find_customer(external_id: str) -> User:
    """The customer of that external id; raises NotFound, and Conflict for an account of staff."""
    user = User.objects.filter(external_id=external_id).first() if "\0" not in external_id else None
    if user is None:
        raise NotFound
    refuse_staff(user)
    return user


def refuse_staff(user: User) -> None:
    """Raises Conflict: staff accounts can only be changed in the admin."""
    if user.has_powers:
        raise Conflict("Staff accounts can only be changed in the admin.")


def own_account(user_id: int, text: str) -> int:
    """The number of an account if it is the owner's own; raises NotFound for any other."""
    if text != str(user_id):
        raise NotFound
    return user_id


def locked_account(user_id: int) -> User:
    """The account, locked until the transaction ends; raises NotFound if it was erased concurrently."""
    account = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if account is None:
        raise NotFound
    return account


def keys_of(user_id: int) -> QuerySet[ApiKey]:
    """The user's keys, revoked ones included, newest first."""
    return ApiKey.objects.filter(user_id=user_id).order_by("-created_at", "-pk")


def find_key(user_id: int, published_id: str) -> ApiKey:
    """The user's key of that published id; raises NotFound."""
    key = keys_of(user_id).filter(pk=decode_or_404("key", published_id)).first()
    if key is None:
        raise NotFound
    return key


def decode_or_404(kind: str, published_id: str, prefix: str = "") -> int:
    number = ids.decode(kind, published_id, prefix)
    if number is None:
        raise NotFound
    return number
