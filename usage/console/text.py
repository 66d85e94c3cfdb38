"""How sizes and times are told to staff."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

GIB: Final = 2**30


def gigabytes(size: int) -> str:
    return f"{size / GIB:,.2f} GB"


def duration(age: timedelta) -> str:
    """Rounded to what somebody would say."""
    seconds = round(age.total_seconds())
    if seconds < 120:
        return ngettext("%(n)s second", "%(n)s seconds", seconds) % {"n": seconds}
    if seconds < 7200:
        return _("%(n)s minutes") % {"n": seconds // 60}
    return _("%(n)s hours") % {"n": seconds // 3600}
