"""Conditions about proxy users: callers use logins, tables use numbers."""

from __future__ import annotations

from dataclasses import replace

from fonproxy.api.search import Condition, Operator
from orders import selectors


def by_number(condition: Condition, user_id: int) -> Condition:
    """The condition with the number of the user's proxy user, or the numbers of all that match a pattern."""
    find = selectors.proxy_user_numbers_like if condition.operator is Operator.LIKE else selectors.proxy_user_number
    return replace(condition, value=find(user_id, str(condition.value)))
