"""Whose account the page shows, for templates: ``{% viewed_as as customer %}``, ``{% viewed as viewed %}``."""

from __future__ import annotations

from typing import Any

from django import template

from accounts import viewing
from accounts.models import Membership, User
from accounts.viewing import Viewed

register = template.Library()


@register.simple_tag(takes_context=True)
def viewed_as(context: dict[str, Any]) -> User | None:
    return viewing.viewed_as(context["request"])


@register.simple_tag(takes_context=True)
def viewed(context: dict[str, Any]) -> Viewed | None:
    """None for an anonymous visitor."""
    request = context["request"]
    return viewing.viewed(request) if request.user.is_authenticated else None


@register.simple_tag
def memberships(person: User) -> list[Membership]:
    return list(viewing.accounts_of(person))
