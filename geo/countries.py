"""The country of an address: static IPs first, then the operator's database, else ``XX``."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from threading import Lock
from typing import Final

import maxminddb
from django.conf import settings

from fonproxy.countries import is_country
from geo import revisions, static_ips
from geo.models import Revision

UNKNOWN: Final = "XX"
MOST_REMEMBERED: Final = 200_000
# Both relational stores take this many bound values in one statement.
CHUNK: Final = 5000

Version = tuple[int, tuple[int, int, int] | None]

log = logging.getLogger(__name__)


class Countries:
    """One per process. What it remembers holds until a static IP or the database file changes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._version: Version | None = None
        self._remembered: OrderedDict[str, str] = OrderedDict()
        self._database: maxminddb.Reader | None = None
        self._file: tuple[int, int, int] | None = None

    def of(self, addresses: Collection[str]) -> dict[str, str]:
        """The country of each address; ``XX`` for the empty one and for what nobody knows."""
        wanted = set(addresses) - {""}
        if not wanted:
            return dict.fromkeys(addresses, UNKNOWN)
        # Read before the rows: what is remembered under a version is never older than it.
        version = revisions.current(Revision.Kind.STATIC_IPS), _identity(settings.GEOIP_DATABASE)
        with self._lock:
            if version != self._version or not revisions.may_be_remembered():
                self._remembered.clear()
                self._version = version
            found = {address: self._remembered[address] for address in wanted if address in self._remembered}
        if missing := wanted - found.keys():
            looked_up = self._look_up(missing, version[1])
            self._remember(looked_up, version)
            found |= looked_up
        return {**found, **({"": UNKNOWN} if "" in addresses else {})}

    def _remember(self, looked_up: dict[str, str], version: Version) -> None:
        with self._lock:
            if version != self._version or not revisions.may_be_remembered():
                return  # somebody saw a change meanwhile
            self._remembered.update(looked_up)
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)

    def _look_up(self, addresses: set[str], file: tuple[int, int, int] | None) -> dict[str, str]:
        canonical = {address: static_ips.canonical(address) for address in addresses}
        own: dict[str, str] = {}
        for chunk in _chunks(set(canonical.values())):
            own |= static_ips.countries(chunk)
        database = self._open(file)
        return {
            address: own.get(canonical[address]) or _country_in(database, canonical[address]) for address in addresses
        }

    def _open(self, file: tuple[int, int, int] | None) -> maxminddb.Reader | None:
        """The operator's database as it is now. An old one is let go of, never closed: another thread may read it."""
        with self._lock:
            if file != self._file:
                self._file = file
                self._database = _opened(str(settings.GEOIP_DATABASE)) if file else None
            return self._database


def _identity(path: str | None) -> tuple[int, int, int] | None:
    """What changes when the file is replaced; None when there is none."""
    try:
        stat = os.stat(path or "")
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _opened(path: str) -> maxminddb.Reader | None:
    try:
        # Into memory: a file that is overwritten in place under a mapping would crash the process.
        return maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        log.error("the country database cannot be read, and is not used: %s", error)
        return None


def _country_in(database: maxminddb.Reader | None, address: str) -> str:
    if database is None:
        return UNKNOWN
    try:
        record = database.get(address)
    except (ValueError, maxminddb.InvalidDatabaseError):
        return UNKNOWN  # an IPv6 address in a database of IPv4, or a damaged record
    for kind in ("country", "registered_country"):
        place = record.get(kind) if isinstance(record, dict) else None
        code = place.get("iso_code") if isinstance(place, dict) else None
        if isinstance(code, str) and is_country(code):
            return code
    return UNKNOWN


def _chunks(addresses: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(addresses)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


_countries: Final = Countries()
countries_of = _countries.of
