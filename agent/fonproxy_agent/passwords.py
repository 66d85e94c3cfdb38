"""Checks a password against a crypt(3) verifier with the system's libcrypt; Python's module for it was removed."""

from __future__ import annotations

import ctypes
import hmac
from collections.abc import Callable
from functools import cache
from typing import Final, cast

LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2")
# Larger than `struct crypt_data` of any libcrypt.
WORKSPACE_BYTES: Final = 2**18


def matches(password: str, verifier: str) -> bool:
    """Also False for a kind of verifier that libcrypt does not support. Raises OSError without a libcrypt."""
    if "\0" in password:  # C would compare only the part before it
        return False
    salt = verifier.encode()
    result = _crypt_r()(password.encode(), salt, ctypes.create_string_buffer(WORKSPACE_BYTES))
    return result is not None and not result.startswith(b"*") and hmac.compare_digest(result, salt)


@cache
def _crypt_r() -> Callable[..., bytes | None]:
    for name in LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt_r
        except (OSError, AttributeError):
            continue
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
        function.restype = ctypes.c_char_p
        return cast("Callable[..., bytes | None]", function)
    raise OSError("There is no libcrypt on this machine: passwords cannot be checked while FonProxy is unreachable.")
