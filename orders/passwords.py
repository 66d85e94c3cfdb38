"""Passwords of proxy users: generated, validated, and stored as a hash that other programs can read.

The hash is bcrypt in crypt(3) form (``$2y$…``), which Squid's ``basic_ncsa_auth`` and Apache's htpasswd tools read.
"""

from __future__ import annotations

import re
import secrets
import string
from typing import Final

import bcrypt

PASSWORD: Final = re.compile(r"[\x21-\x7e]{8,72}")
RULE: Final = "Must be 8 to 72 printable ASCII characters without spaces."
# The cost of Apache's htpasswd: a sign-in takes milliseconds, and generated passwords need no slow hash.
ROUNDS: Final = 5
GENERATED_LENGTH: Final = 20
LETTERS: Final = string.ascii_letters + string.digits


def generate() -> str:
    """A new password with 119 random bits, without characters that need escaping in a URL."""
    return "".join(secrets.choice(LETTERS) for _ in range(GENERATED_LENGTH))


def verifier_of(password: str) -> str:
    """The hash under a new salt. The password must match ``PASSWORD``."""
    # bcrypt writes another name of the same algorithm, which Apache does not know.
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode().replace("$2b$", "$2y$", 1)


def matches(verifier: str, password: str) -> bool:
    """Whether it is the verifier's password; no password matches an empty verifier."""
    if not verifier or not PASSWORD.fullmatch(password):
        return False
    return bcrypt.checkpw(password.encode(), verifier.encode())
