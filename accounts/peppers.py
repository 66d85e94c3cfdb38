"""How keys are stored: HMAC-SHA256 under a pepper, a secret outside of the database.

Several peppers are known, the newest first. A key stored under an older pepper is found, and rehashed under the newest
when it is used. The bare SHA-256 of earlier versions is found too. The HMAC is computed over it, so ``pepper_keys`` can
add a pepper without knowing the key.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple, TypeVar

from django.conf import settings

from accounts.models import ApiKey, ApplicationKey, RecoveryCode

BARE: Final = ""
Key = TypeVar("Key", ApiKey, ApplicationKey)


class Stored(NamedTuple):
    """The stored form of a key: its hash, and the name of the pepper used."""

    key_hash: str
    pepper: str


def stored(secret: str) -> Stored:
    """The stored form of a key under the newest pepper."""
    return under(settings.KEY_PEPPERS[0], _digest(secret))


def under(pepper: str, digest: str) -> Stored:
    return Stored(hmac.new(pepper.encode(), digest.encode(), hashlib.sha256).hexdigest(), name_of(pepper))


def hashes(secret: str) -> list[str]:
    """Every hash under which the key may be stored.

    Known and unknown keys have the same number of hashes, so the look-up takes the same time.
    """
    digest = _digest(secret)
    return [*(under(pepper, digest).key_hash for pepper in settings.KEY_PEPPERS), digest]


def renew(key: Key, secret: str) -> None:
    """Rehashes a key that is stored under an older pepper.

    A key without a pepper is left alone, because processes of the version before peppers may still run and would not
    find it.
    """
    newest = stored(secret)
    if key.pepper not in (BARE, newest.pepper):
        type(key)._default_manager.filter(pk=key.pk, key_hash=key.key_hash).update(**newest._asdict())


def in_use() -> set[str]:
    """The names of the peppers that stored keys depend on."""
    models = (ApiKey, ApplicationKey, RecoveryCode)
    return {name for model in models for name in model._default_manager.values_list("pepper", flat=True).distinct()} - {
        BARE
    }


def known() -> set[str]:
    """The names of the peppers under which keys are found."""
    return {name_of(pepper) for pepper in settings.KEY_PEPPERS}


def name_of(pepper: str) -> str:
    """A name for the pepper that reveals nothing about it."""
    return hmac.new(pepper.encode(), b"name of this pepper", hashlib.sha256).hexdigest()[:8]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
