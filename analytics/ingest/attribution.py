"""Resolves the owner of ingested rows: user, order, network and proxy user."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from orders import selectors

MISSING: Final = -1  # callers cannot send it, because negative numbers are refused


class RowOwner(NamedTuple):
    """The owner named by a row: numbers, or a proxy login. A number that was not sent is MISSING."""

    user_id: int
    order_id: int
    proxy_user: str


class Attribution(NamedTuple):
    """The resolved owner. Unknown networks are empty, unknown proxy users 0."""

    user_id: int
    order_id: int
    network: str
    proxy_user_id: int


@dataclass(frozen=True)
class AttributionMap:
    """The owners of one batch, looked up together. ``faults`` has unresolvable owners as (field, message).

    A user and an order that do not exist or do not belong together are not a fault: their traffic is stored as sent,
    without network, and listed for staff.
    """

    known: dict[tuple[int, int, str], Attribution]
    faults: dict[tuple[int, int, str], tuple[str, str]]

    @classmethod
    def of(cls, callers: Collection[tuple[int, int, str]]) -> Self:
        logins = selectors.proxy_users_by_login({login for _, _, login in callers if login})
        orders = selectors.orders_by_id({order_id for _, order_id, login in callers if not login})
        known: dict[tuple[int, int, str], Attribution] = {}
        faults: dict[tuple[int, int, str], tuple[str, str]] = {}
        for caller in callers:
            user_id, order_id, login = caller
            if login:
                answer = _by_login(RowOwner(*caller), logins.get(login))
            elif MISSING in (user_id, order_id):
                answer = ("user_id" if user_id == MISSING else "order_id", "Is required, unless proxy_user is given.")
            else:
                answer = _by_order(user_id, order_id, orders.get(order_id))
            if isinstance(answer, Attribution):
                known[caller] = answer
            else:
                faults[caller] = answer
        return cls(known, faults)

    def among(self, callers: Iterable[tuple[int, int, str]]) -> Self:
        """The part for these callers."""
        some = set(callers)
        return type(self)(
            {caller: self.known[caller] for caller in some & self.known.keys()},
            {caller: self.faults[caller] for caller in some & self.faults.keys()},
        )


def _by_login(who: RowOwner, facts: selectors.ProxyUserFacts | None) -> Attribution | tuple[str, str]:
    if facts is None:
        return "proxy_user", "No such proxy user is known."
    if who.user_id not in (facts.user_id, MISSING) or who.order_id not in (facts.order_id, MISSING):
        return "proxy_user", "Belongs to another user or order than the row names."
    return Attribution(facts.user_id, facts.order_id, facts.network, facts.id)


def _by_order(user_id: int, order_id: int, facts: selectors.OrderFacts | None) -> Attribution:
    if facts is None or facts.user_id != user_id:
        return Attribution(user_id, order_id, "", 0)
    return Attribution(user_id, order_id, facts.network, facts.proxy_user_id)
