"""A form field for sizes in GB that preserves every byte of a size that is shown and sent back."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from fonproxy.units import GIB
from orders.models import MAX_LIMIT_BYTES

DIGITS: Final = 60
"""Enough digits for any number of bytes as a fraction of a GB."""


class GigabytesField(forms.DecimalField):
    """Bytes in Python, GB of 2^30 bytes in the form."""

    def __init__(self, **options: Any) -> None:
        usual = {"help_text": _("GB of 2^30 bytes; empty: unmetered."), "required": False, "min_value": 0}
        super().__init__(**{**usual, "max_value": MAX_LIMIT_BYTES // GIB, **options})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        with localcontext(prec=DIGITS):
            return f"{(Decimal(value) / GIB).normalize():f}"

    def clean(self, value: Any) -> int | None:
        size = super().clean(value)
        with localcontext(prec=DIGITS):
            return None if size is None else int(size * GIB)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except ValidationError:
            return True
