"""Settings from the environment, parsed strictly: a value that is not understood stops the program with a sentence."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

PREFIX: Final = "FONPROXY_"
SHORTEST_SECRET: Final = 32
WHOLE: Final = re.compile("[0-9]{1,18}")
FLAGS: Final = {"true": True, "false": False, "1": True, "0": False}


class Environment:
    """Reads variables and remembers their names, so that a misspelt one is noticed instead of ignored."""

    def __init__(self, variables: dict[str, str] | None = None) -> None:
        self._variables = dict(os.environ) if variables is None else variables
        self.known: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str | None:
        """The value, or ``default`` when the variable is missing or empty."""
        self.known.add(name)
        return self._variables.get(name, "").strip() or default

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in FLAGS:
            raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
        return FLAGS[value.lower()]

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number between ``least`` and ``most``."""
        value = self.text(name)
        if value is None:
            return default
        if not WHOLE.fullmatch(value) or not least <= int(value) <= most:
            raise ImproperlyConfigured(f"{name} must be a whole number from {least} to {most}, not {value[:30]!r}.")
        return int(value)

    def rate(self, name: str, default: str) -> str:
        """A rate as Django REST framework writes it: ``600/min``."""
        value = self.text(name, default) or default
        number, _, period = value.partition("/")
        if not WHOLE.fullmatch(number) or int(number) == 0 or period not in ("sec", "min", "hour"):
            raise ImproperlyConfigured(f"{name} must be like 600/min (sec, min or hour), not {value[:30]!r}.")
        return value

    def address(self, name: str, example: str, schemes: tuple[str, ...]) -> str | None:
        """A URL of one of these schemes with a host or path; what it holds is never repeated: it may be a password."""
        value = self.text(name)
        if value and not _is_address(value, schemes):
            raise ImproperlyConfigured(f"{name} must be like {example}; in a password, %2F stands for a slash.")
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name) or default
        if value not in choices:
            raise ImproperlyConfigured(f"{name} must be {', '.join(choices)}, not {value[:30]!r}.")
        return value

    def secret(self, name: str) -> str | None:
        """A secret that can later stand in a list of them, or None; what it is is never repeated."""
        value = self.text(name)
        if value is not None and (len(value) < SHORTEST_SECRET or "," in value):
            raise ImproperlyConfigured(f"{name} must have at least {SHORTEST_SECRET} characters, and no comma.")
        return value

    def names(self, name: str, default: str) -> list[str]:
        """A list separated by commas."""
        value = self.text(name, default) or default
        return [part.strip() for part in value.split(",") if part.strip()]

    def secrets(self, name: str) -> list[str]:
        """Secrets separated by commas, none by default; what they are is never repeated."""
        values = self.names(name, "")
        if any(len(value) < SHORTEST_SECRET for value in values):
            raise ImproperlyConfigured(f"{name} must have secrets of at least {SHORTEST_SECRET} characters.")
        return values

    def refuse_unknown(self) -> None:
        """Stop when a ``FONPROXY_…`` variable is set that no setting reads: it is a typing mistake."""
        unknown = sorted(name for name in self._variables if name.startswith(PREFIX) and name not in self.known)
        if unknown:
            known = ", ".join(sorted(name for name in self.known if name.startswith(PREFIX)))
            raise ImproperlyConfigured(f"Unknown setting {', '.join(unknown)}. Known settings: {known}.")


def _is_address(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.port != 0 and parts.scheme in schemes and bool((parts.netloc + parts.path).strip("/"))
    except ValueError:  # an odd bracket, or a port that is none: also a slash in a password makes it so
        return False


def private_directory(path: Path) -> Path:
    """The directory, made for its owner only when it is missing."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"FONPROXY_DATA_DIR cannot be {path}: {error.strerror}.") from error
    return path


def secret_kept_in(path: Path) -> str:
    """The secret in this file, made on first use.

    The file appears complete or not at all (it is linked into place), so two programs that start at once agree.
    """
    try:
        if kept := path.read_text().strip():
            return kept
        raise ImproperlyConfigured(f"{path} is empty: put the secret back, or remove the file to begin with a new one.")
    except FileNotFoundError:
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another program was first; its secret is the one to use
        finally:
            draft.unlink()
        return path.read_text().strip()
