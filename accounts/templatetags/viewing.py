"""For pages that say as whom somebody is looking: ``{% viewed_as as customer %}``."""

from __future__ import annotations

from typing import Any

from django import template

from accounts import viewing
from accounts.models import User

register = template.Library()


@register.simple_tag(takes_context=True)
def viewed_as(context: dict[str, Any]) -> User | None:
    return viewing.viewed_as(context["request"])
