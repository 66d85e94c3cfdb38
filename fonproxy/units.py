"""The size of a gigabyte, and numbers, sizes and durations as texts in the formats of the active locale."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

# Every "GB" in an API, a page or a mail is one of these.
GIB: Final = 2**30
MIB: Final = 2**20


UNITS: Final = ("bytes", "kB", "MB", "GB")


def localised(number: int | str) -> str:
    """A number, or the decimal text of one, with the separators of the active locale."""
    return str(number_format(number, force_grouping=True))


def amount(size: int) -> str:
    """A size in the largest unit up to GB that is at most the size; units are powers of 1024."""
    unit = min(max(abs(size), 1).bit_length() - 1, 30) // 10
    number = str(size) if unit == 0 else f"{size / 1024**unit:.2f}".removesuffix(".00")
    return f"{localised(number)} {UNITS[unit]}"


def gigabytes(size: int) -> str:
    return f"{localised(f'{size / GIB:.2f}')} GB"


def duration(age: timedelta) -> str:
    """A duration in seconds, minutes or hours, rounded."""
    seconds = round(age.total_seconds())
    if seconds < 120:
        return ngettext("%(n)s second", "%(n)s seconds", seconds) % {"n": seconds}
    if seconds < 7200:
        return _("%(n)s minutes") % {"n": seconds // 60}
    return _("%(n)s hours") % {"n": seconds // 3600}
