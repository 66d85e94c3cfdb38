"""Decides whether a proxy server may let a login pass, from its indexed row and its order's ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import TextChoices

from fonproxy.prepared import Prepared
from orders import addresses, enforcement, ledger, selectors
from orders.gateway import guessing
from orders.gateway.verified import verified
from orders.models import CutOff, ProxySession, ProxyUser

CACHE_SECONDS: Final = 10

_users_by_login: Final = Prepared(
    lambda logins: ProxyUser.objects.select_related("order").filter(login__in=logins), str
)


class RefusalReason(TextChoices):
    UNKNOWN = "unknown"
    BAD_PASSWORD = "bad_password"  # noqa: S105  # a word of the API
    IP_NOT_ALLOWED = "ip_not_allowed"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    TOO_MANY_CONNECTIONS = "too_many_connections"


@dataclass(frozen=True, slots=True)
class SignIn:
    """``password`` is None for a login that has signed in before; ``client`` is empty if the address is unknown."""

    login: str
    password: str | None
    client: str = ""


@dataclass(frozen=True, slots=True)
class SignInDecision:
    """``reason`` is None if the login may pass; ``bytes_left`` is None for an order without a limit."""

    reason: RefusalReason | None
    order_id: str = ""
    bytes_left: int | None = None


def decide(sign_in: SignIn, now: datetime) -> SignInDecision:
    """The first reason to refuse, in the order of the enumeration, or permission to pass."""
    user = _find(sign_in.login)
    if user is None:
        return SignInDecision(RefusalReason.UNKNOWN)
    client = addresses.parse(sign_in.client)
    if sign_in.password is not None and not _is_right(user, sign_in.password, client):
        return SignInDecision(RefusalReason.BAD_PASSWORD)
    if not addresses.is_allowed(user.allowed_ips, client):
        return SignInDecision(RefusalReason.IP_NOT_ALLOWED)
    left = None if user.order.limit_bytes is None else ledger.balance(user.order)
    state = enforcement.state_of(user.order, left or 0, now)
    if state != CutOff.State.ACTIVE:
        return SignInDecision(RefusalReason(state.value))
    if user.is_stopped(now):
        return SignInDecision(RefusalReason.EXHAUSTED)
    if user.max_connections is not None and ProxySession.running(now, user.login).count() >= user.max_connections:
        return SignInDecision(RefusalReason.TOO_MANY_CONNECTIONS)
    return SignInDecision(None, user.order.published_id, left)


def _find(login: str) -> ProxyUser | None:
    return next(iter(_users_by_login.rows([login])), None) if selectors.is_storable(login) else None


def _is_right(user: ProxyUser, password: str, client: guessing.Address) -> bool:
    """Whether the password is right; not checked for a client with too many wrong guesses.

    If a gateway sends no client addresses, all its clients count as one. The last right password then still passes, so
    that a stranger's guesses do not lock the customer out.
    """
    if guessing.is_blocked(user.login, client):
        return client is None and verified.remembers(user.verifier, password)
    if verified.matches(user.verifier, password):
        return True
    guessing.count_failure(user.login, client)
    return False
