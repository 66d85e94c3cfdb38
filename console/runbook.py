"""The runbook's advice for an alert, from ``docs/runbook.md``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from django.conf import settings

PATH: Final = Path(settings.BASE_DIR) / "docs" / "runbook.md"
_ROW: Final = re.compile(r"^\| (FonProxy\w+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]*\)")


class Advice(NamedTuple):
    """What an alert means and what to do, as plain text."""

    meaning: str
    action: str


def advice(alert: str) -> Advice | None:
    """None for an alert that the runbook does not have."""
    return _all().get(alert)


@cache
def _all() -> dict[str, Advice]:
    text = PATH.read_text() if PATH.exists() else ""
    return {name: Advice(_plain(meaning), _plain(action)) for name, meaning, action in _ROW.findall(text)}


def _plain(markdown: str) -> str:
    text = _LINK.sub(r"\1", markdown).replace("`", "").replace("*", "")
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")
