"""Encryption of secrets that must be readable again, under keys derived from the secret key."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unreadable(Exception):
    """The text was encrypted under a secret key that is no longer configured."""


def seal(text: str) -> str:
    """The text, encrypted under the newest key."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str | bytes) -> str:
    """Decrypts the result of ``seal``; raises Unreadable."""
    try:
        return _fernet().decrypt(sealed).decode()
    except InvalidToken:
        raise Unreadable("This secret was stored under another secret key: create it again.") from None


def reseal(sealed: str) -> str:
    """The same text under the newest key; raises Unreadable."""
    try:
        return _fernet().rotate(sealed).decode()
    except InvalidToken:
        raise Unreadable("This secret was stored under another secret key: create it again.") from None


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(urlsafe_b64encode(bytes.fromhex(key))) for key in settings.SEALING_KEYS])
