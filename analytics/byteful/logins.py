"""Conditions about proxy users: callers know them by their logins, tables by their numbers."""

from __future__ import annotations

from dataclasses import replace

from fonproxy.api.search import Condition, Operator
from orders import selectors


def by_number(condition: Condition, user_id: int) -> Condition:
    """The same about the number of the user's proxy user, or about the numbers of those that a pattern matches."""
    find = selectors.proxy_user_numbers_like if condition.operator is Operator.LIKE else selectors.proxy_user_number
    return replace(condition, value=find(user_id, str(condition.value)))
