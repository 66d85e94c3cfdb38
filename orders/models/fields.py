"""Definitions shared by several models: the field of a limit, and rules for texts."""

from __future__ import annotations

from typing import Any, Final

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

MAX_LIMIT_BYTES: Final = 2**53 - 1  # larger numbers are inexact in JavaScript

without_control_characters = RegexValidator(
    r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", "Must not contain control characters."
)


def limit_field(name: str, help_text: str = "Bytes both ways; empty: no limit.") -> models.BigIntegerField[Any, Any]:
    """0 is refused, because it could mean no limit or nothing at all."""
    within = [MinValueValidator(1), MaxValueValidator(MAX_LIMIT_BYTES)]
    return models.BigIntegerField(name, null=True, blank=True, validators=within, help_text=help_text)
