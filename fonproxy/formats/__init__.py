"""How numbers and dates are written: one module of Django's formats per locale. All texts stay English."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

DEFAULT: Final = "en"

# A new locale needs a package beside this module, named as Django names locales: en_DE for en-de.
LOCALES: Final[dict[str, str | Promise]] = {
    DEFAULT: _("International"),
    "en-us": _("United States"),
    "en-gb": _("United Kingdom"),
    "en-de": _("Germany"),
    "en-fr": _("France"),
    "en-se": _("Sweden"),
    "en-ch": _("Switzerland"),
}
