"""Decides whether a proxy server may let a login pass, from its indexed row and its order's ledger."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import Count, TextChoices

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
    """``password`` is None for a login that has signed in before; ``client`` is None if the address is unknown."""

    login: str
    password: str | None
    client: guessing.Address = None


@dataclass(frozen=True, slots=True)
class SignInDecision:
    """``reason`` is None if the login may pass; ``bytes_left`` is None for an order without a limit."""

    reason: RefusalReason | None
    order_id: str = ""
    bytes_left: int | None = None


class _Facts(NamedTuple):
    """The rows of some logins, the balances of their orders, and how many connections of each are running."""

    users: dict[str, ProxyUser]
    balances: dict[int, int]
    running: dict[str, int]


def decide(sign_in: SignIn, now: datetime) -> SignInDecision:
    """The first reason to refuse, in the order of the enumeration, or permission to pass."""
    facts = _read([sign_in.login], now)
    user = facts.users.get(sign_in.login)
    if user is not None and sign_in.password is not None and not _is_right(user, sign_in.password, sign_in.client):
        return SignInDecision(RefusalReason.BAD_PASSWORD)
    return _decide(sign_in, user, facts, now)


def decide_together(sign_ins: Collection[SignIn], now: datetime) -> list[SignInDecision | None]:
    """The same for many at once, with a few queries; None for one whose password was not verified before."""
    facts = _read({each.login for each in sign_ins}, now)
    checked = [each for each in sign_ins if each.password is not None and each.login in facts.users]
    blocked = guessing.blocked({(each.login, each.client) for each in checked})

    def decided(sign_in: SignIn) -> SignInDecision | None:
        user = facts.users.get(sign_in.login)
        if user is not None and sign_in.password is not None:
            is_blocked = (sign_in.login, sign_in.client) in blocked
            if is_blocked or not verified.remembers(user.verifier, sign_in.password):
                return None
        return _decide(sign_in, user, facts, now)

    return [decided(each) for each in sign_ins]


def _read(logins: Collection[str], now: datetime) -> _Facts:
    found = _users_by_login.rows([login for login in logins if selectors.is_storable(login)])
    users = {user.login: user for user in found}
    limited = {user.order_id for user in found if user.order.limit_bytes is not None}
    bounded = [user.login for user in found if user.max_connections is not None]
    running = ProxySession.running(now, *bounded).values_list("login").annotate(Count("pk")) if bounded else ()
    return _Facts(users, ledger.balances(limited), dict(running))


def _decide(sign_in: SignIn, user: ProxyUser | None, facts: _Facts, now: datetime) -> SignInDecision:
    """The decision for a right password or none. Pure."""
    if user is None:
        return SignInDecision(RefusalReason.UNKNOWN)
    if not addresses.is_allowed(user.allowed_ips, sign_in.client):
        return SignInDecision(RefusalReason.IP_NOT_ALLOWED)
    left = None if user.order.limit_bytes is None else facts.balances[user.order_id]
    state = enforcement.state_of(user.order, left or 0, now)
    if state != CutOff.State.ACTIVE:
        return SignInDecision(RefusalReason(state.value))
    if user.is_stopped(now):
        return SignInDecision(RefusalReason.EXHAUSTED)
    if user.max_connections is not None and facts.running.get(user.login, 0) >= user.max_connections:
        return SignInDecision(RefusalReason.TOO_MANY_CONNECTIONS)
    return SignInDecision(None, user.order.published_id, left)


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
