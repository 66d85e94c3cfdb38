"""The first page of the staff console: ``{% console_facts as panels %}``."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils import timezone

from usage.console import facts

register = template.Library()


@register.simple_tag(takes_context=True)
def console_facts(context: dict[str, Any]) -> list[facts.Panel]:
    """What whoever asks may see."""
    return facts.panels(context["request"].user, timezone.now())
