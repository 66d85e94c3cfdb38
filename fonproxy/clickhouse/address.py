"""``CLICKHOUSE_URL``: servers, credentials and database."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

EXAMPLE: Final = "clickhouse://user:password@host:9000,other-host:9000/database"
DEFAULT_DATABASE: Final = "fonproxy"
PORTS: Final = {"clickhouse": 9000, "clickhouses": 9440}

_CLUSTER: Final = re.compile(r"[A-Za-z0-9_-]+")
_URL: Final = re.compile(
    r"(?P<scheme>clickhouses?)://"
    r"(?:(?P<user>[^:@/?#]+)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<hosts>[^@/?#]+)"
    r"(?:/(?P<database>[a-z_][a-z0-9_]*)?)?"
)
_HOST: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """One or more servers with the same data; ``clickhouses`` uses TLS."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    database: str
    is_secure: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ImproperlyConfigured with a message that does not repeat the URL, which may contain a password."""
        found = _URL.fullmatch(url)
        hosts = [_HOST.fullmatch(host) for host in found["hosts"].split(",")] if found else []
        if found is None or not all(host and int(host["port"] or 1) in range(1, 65536) for host in hosts):
            raise ImproperlyConfigured(f"CLICKHOUSE_URL must be like {EXAMPLE}, or clickhouses://… for TLS.")
        port = PORTS[found["scheme"]]
        return cls(
            tuple((host["name"].strip("[]"), int(host["port"] or port)) for host in hosts if host),
            unquote(found["user"] or "default"),
            unquote(found["password"] or ""),
            found["database"] or DEFAULT_DATABASE,
            found["scheme"] == "clickhouses",
        )


def cluster_name(text: str | None, address: Address | None) -> str | None:
    """The validated ``CLICKHOUSE_CLUSTER``; raises ImproperlyConfigured."""
    if text is None:
        return None
    if not _CLUSTER.fullmatch(text):
        raise ImproperlyConfigured("CLICKHOUSE_CLUSTER must be a name of letters, digits, _ and -.")
    if address is None:
        raise ImproperlyConfigured("CLICKHOUSE_CLUSTER needs CLICKHOUSE_URL: the embedded engine is not a cluster.")
    return text
