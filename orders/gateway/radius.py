"""Requests of FreeRADIUS's ``rlm_rest`` with ``body = 'json'``: an object of attributes."""

from __future__ import annotations

from typing import Any


class Attributes:
    """Attributes by name, ``{"User-Name": {"type": "string", "value": ["carol"]}, …}``; the first of several values."""

    def __init__(self, body: Any) -> None:
        self._body: dict[str, Any] = body if isinstance(body, dict) else {}

    def text(self, name: str) -> str | None:
        value = self._body.get(name)
        if isinstance(value, dict):
            value = value.get("value")
        if isinstance(value, list):
            value = value[0] if value else None
        return None if value is None or isinstance(value, dict | list | bool) else _decoded(str(value))

    def is_number(self, name: str) -> bool:
        """Whether the attribute is missing or a whole number of up to 18 digits."""
        text = self.text(name)
        return text is None or self._is_number(text)

    def number(self, name: str) -> int:
        """0 for an attribute that is missing or not a whole number of up to 18 digits."""
        text = self.text(name) or ""
        return int(text) if self._is_number(text) else 0

    @staticmethod
    def _is_number(text: str) -> bool:
        return text.isascii() and text.isdigit() and len(text) <= 18


def _decoded(text: str) -> str:
    """FreeRADIUS 3's ``rlm_rest`` writes each byte of a UTF-8 character as a separate character."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
