"""Settings from the command line, the environment and a TOML file, in this order of precedence."""

from __future__ import annotations

import os
import socket
import tomllib
from argparse import Namespace
from pathlib import Path
from typing import Literal

import msgspec

from fonproxy_agent.errors import UsageError

KEY_VARIABLE = "FONPROXY_KEY"


class ShipConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[ship]``."""

    format: Literal["squid", "haproxy", "dante", "3proxy", "envoy", "lines"] = "squid"
    file: str = ""
    source: str = ""
    follow: bool = False
    raw: bool = False
    skip_unreadable: bool = False
    watched: bool = False


class MappingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[mapping]``."""

    format: Literal["json", "regex"] = "json"
    pattern: str = ""
    fields: dict[str, str] = {}
    time_format: Literal["epoch", "epoch_ms", "iso", "clf"] = "epoch"
    time_is: Literal["start", "end"] = "end"
    duration_unit: Literal["ms", "s"] = "ms"
    ignore: str = ""
    failed_sign_in: str = ""
    refused: str = ""


class SquidConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[squid]``."""

    manager: str = "http://127.0.0.1:3128"


class EnforceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[enforce]``."""

    stopped_file: str = ""
    on_change: list[str] = []
    end_connections: Literal["no", "ss", "command"] = "no"
    end_command: list[str] = []
    interval_seconds: float = 2.0


class WatchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[watch]``."""

    database: str = "/var/lib/fonproxy-agent/sessions.sqlite3"
    interval_seconds: float = 5.0


class SignInConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[sign_in]``."""

    database: str = "/var/lib/fonproxy-agent/logins.sqlite3"
    offline: Literal["closed", "open"] = "closed"
    offline_seconds: float = 3600.0
    cache_size: int = 10_000
    workers: int = 20


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; agent.example.toml explains each setting."""

    url: str = ""
    key_file: str = ""
    worker: str = ""
    log_format: Literal["plain", "json"] = "plain"
    metrics_dir: str = ""
    ship: ShipConfig = ShipConfig()
    mapping: MappingConfig = MappingConfig()
    squid: SquidConfig = SquidConfig()
    enforce: EnforceConfig = EnforceConfig()
    watch: WatchConfig = WatchConfig()
    sign_in: SignInConfig = SignInConfig()

    @property
    def worker_name(self) -> str:
        return self.worker or socket.gethostname()


def load(path: Path | None) -> Config:
    """The configuration of a file, or the defaults without one. Raises UsageError."""
    if path is None:
        return Config()
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Config)
    except OSError as error:
        raise UsageError(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"The configuration file {path} is wrong: {error}.") from None


def override(config: Config, options: Namespace) -> Config:
    """The configuration with what the command line sets."""
    given = {name: value for name, value in vars(options).items() if value not in (None, False)}
    ship = {name: given[name] for name in ShipConfig.__struct_fields__ if name in given}
    top = {name: given[name] for name in ("url", "key_file") if name in given}
    return msgspec.structs.replace(config, **top, ship=msgspec.structs.replace(config.ship, **ship))


def read_key(config: Config) -> str:
    """The API key, from the key file or else from the environment. Raises UsageError."""
    if not config.key_file:
        if key := os.environ.get(KEY_VARIABLE, "").strip():
            return key
        raise UsageError(f"There is no API key: give a file with --key-file, or set {KEY_VARIABLE}.")
    try:
        return Path(config.key_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The key file {config.key_file} cannot be read: {error}.") from None
