"""Passwords that were right, kept in memory under a key of this process, because bcrypt takes milliseconds."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from threading import Lock
from typing import Final

from orders import passwords

MAX_REMEMBERED: Final = 100_000


class VerifiedPasswords:
    """Maps each verifier to a digest of its password; a changed password has another verifier."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._digests: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def remembers(self, verifier: str, password: str) -> bool:
        with self._lock:
            digest = self._digests.get(verifier)
        return digest is not None and hmac.compare_digest(digest, self._digest(password))

    def matches(self, verifier: str, password: str) -> bool:
        """Whether it is the verifier's password; only the first right one takes the time of bcrypt."""
        if self.remembers(verifier, password):
            return True
        if not passwords.matches(verifier, password):
            return False
        with self._lock:
            self._digests[verifier] = self._digest(password)
            while len(self._digests) > MAX_REMEMBERED:
                self._digests.popitem(last=False)
        return True

    def _digest(self, password: str) -> bytes:
        return hashlib.blake2b(password.encode(errors="surrogatepass"), key=self._key).digest()


verified: Final = VerifiedPasswords()
