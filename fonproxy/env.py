"""Settings from the environment, parsed strictly: an invalid value stops the program with a message."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from fonproxy.numbers import WHOLE_NUMBER

PREFIX: Final = "FONPROXY_"
# Read by fonproxy-agent, which `manage.py ship_squid_log` runs.
AGENT_VARIABLES: Final = frozenset({"FONPROXY_KEY"})
MIN_SECRET_LENGTH: Final = 32
ENDPOINT: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
FLAGS: Final = {"true": True, "false": False, "1": True, "0": False}


class Environment:
    """Reads variables and remembers their names, so that misspelt ones are reported instead of ignored."""

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

    def int_(self, name: str, default: int, *, least: int, most: int) -> int:
        """An integer between ``least`` and ``most``."""
        value = self.text(name)
        if value is None:
            return default
        if not WHOLE_NUMBER.fullmatch(value) or not least <= int(value) <= most:
            raise ImproperlyConfigured(f"{name} must be a whole number from {least} to {most}, not {value[:30]!r}.")
        return int(value)

    def rate(self, name: str, default: str) -> str:
        """A rate in Django REST framework's notation: ``600/min``."""
        value = self.text(name, default) or default
        number, _, period = value.partition("/")
        if not WHOLE_NUMBER.fullmatch(number) or int(number) == 0 or period not in ("sec", "min", "hour"):
            raise ImproperlyConfigured(f"{name} must be like 600/min (sec, min or hour), not {value[:30]!r}.")
        return value

    def url(self, name: str, example: str, schemes: tuple[str, ...]) -> str | None:
        """A URL with one of these schemes and a host or path.

        Errors never repeat it, because it may contain a password.
        """
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
        """A secret without commas, or None. Errors never repeat it."""
        value = self.text(name)
        if value is not None and (len(value) < MIN_SECRET_LENGTH or "," in value):
            raise ImproperlyConfigured(f"{name} must have at least {MIN_SECRET_LENGTH} characters, and no comma.")
        return value

    def names(self, name: str, default: str) -> list[str]:
        """A list separated by commas."""
        value = self.text(name, default) or default
        return [part.strip() for part in value.split(",") if part.strip()]

    def ports(self, name: str, default: str) -> list[int]:
        """Port numbers separated by commas."""
        values = self.names(name, default)
        if not all(WHOLE_NUMBER.fullmatch(value) and 1 <= int(value) <= 65535 for value in values):
            raise ImproperlyConfigured(f"{name} must be port numbers from 1 to 65535, separated by commas.")
        return [int(value) for value in values]

    def endpoints(self, name: str) -> dict[str, str]:
        """``host:port`` by network: ``mobile=host:port``, separated by commas; one without a network is for ``*``."""
        found = {}
        for value in self.names(name, ""):
            network, _, endpoint = value.rpartition("=")
            if not ENDPOINT.fullmatch(endpoint):
                raise ImproperlyConfigured(f"{name} must be like proxy.example.com:8000 or mobile=m.example.com:8000.")
            found[network or "*"] = endpoint
        return found

    def secrets(self, name: str) -> list[str]:
        """Secrets separated by commas, none by default. Errors never repeat them."""
        values = self.names(name, "")
        if any(len(value) < MIN_SECRET_LENGTH for value in values):
            raise ImproperlyConfigured(f"{name} must have secrets of at least {MIN_SECRET_LENGTH} characters.")
        return values

    def refuse_unknown(self) -> None:
        """Raises ImproperlyConfigured for a ``FONPROXY_…`` variable that no setting reads: a misspelt name."""
        known_names = self.known | AGENT_VARIABLES
        unknown = sorted(name for name in self._variables if name.startswith(PREFIX) and name not in known_names)
        if unknown:
            known = ", ".join(sorted(name for name in self.known if name.startswith(PREFIX)))
            raise ImproperlyConfigured(f"Unknown setting {', '.join(unknown)}. Known settings: {known}.")


def _is_address(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.port != 0 and parts.scheme in schemes and bool((parts.netloc + parts.path).strip("/"))
    except ValueError:  # an unbalanced bracket, or an invalid port, which a slash in a password also causes
        return False


def private_directory(path: Path) -> Path:
    """The directory, readable by its owner only, like everything that this process creates from now on."""
    os.umask(0o077)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid == os.geteuid():
            for entry in (path, *path.iterdir()):
                _close_to_others(entry)
    except OSError as error:
        raise ImproperlyConfigured(f"FONPROXY_DATA_DIR cannot be {path}: {error.strerror}.") from error
    return path


def _close_to_others(entry: Path) -> None:
    """Removes all permissions of group and others; skips files that disappear in the meantime."""
    with suppress(FileNotFoundError):
        found = entry.lstat()
        is_ours = found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode)
        if is_ours and found.st_mode & 0o077:
            entry.chmod(stat.S_IMODE(found.st_mode) & ~0o077)


def secret_kept_in(path: Path) -> str:
    """The secret in this file, created on first use.

    The file appears complete or not at all (it is linked into place), so two programs that start at once agree.
    """
    try:
        if kept := path.read_text().strip():
            return kept
        raise ImproperlyConfigured(f"{path} is empty: restore the secret, or remove the file to start with a new one.")
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
