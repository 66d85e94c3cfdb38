"""Second factors: an authenticator app (TOTP), and recovery codes that each replace it once."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

import segno
from django.db import transaction
from django_otp.oath import TOTP

from accounts import notices, peppers
from accounts.models import RecoveryCode, TotpDevice, User
from accounts.notices import Notice
from fonproxy import sealing

KEY_BYTES: Final = 20
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 10
CODE: Final = re.compile("[0-9]{6}")
MAX_FAILURES: Final = 20
MAX_DELAY: Final = timedelta(minutes=15)
NOT_OF_A_CODE: Final = re.compile("[^a-z2-7]")


def is_enrolled(user: User) -> bool:
    return TotpDevice.objects.filter(user=user).exists()


def new_key() -> str:
    """An encrypted key for an authenticator. Keep it in the session that sets it up: nobody else may see it."""
    return sealing.seal(secrets.token_hex(KEY_BYTES))


def enrol(user: User, sealed_key: str, code: str, now: datetime) -> list[str] | None:
    """Replaces the user's authenticator if the code is right for the new key; returns new recovery codes, else None.

    Also None after a concurrent change of the password: the holder of an old session must not lock the owner out.
    """
    device = TotpDevice(user=user, sealed_key=sealed_key)
    if not _is_new_totp(device, code, now):
        return None
    with transaction.atomic():
        if user.locked() is None:
            return None
        TotpDevice.objects.filter(user=user).delete()
        device.save()
        notices.send(Notice.NEW_FACTOR, user)
        return renew_recovery_codes(user)


def verify(user: User, code: str, now: datetime) -> bool:
    """Whether the code is right for the authenticator or is a recovery code; a right code is used up."""
    with transaction.atomic():
        device = TotpDevice.objects.select_for_update().filter(user=user).first()
        return device is not None and _take(device, code, now)


def _take(device: TotpDevice, code: str, now: datetime) -> bool:
    """Whether the code is right. Each wrong code doubles the time during which all are refused, up to 15 minutes."""
    if device.failed_at is not None and now < device.failed_at + _delay(device.failures):
        return False
    is_right = _is_recovery_code(device, code) or _is_new_totp(device, code, now)
    device.failures = 0 if is_right else min(device.failures + 1, MAX_FAILURES)
    device.failed_at = None if is_right else now
    device.save(update_fields=["last_step", "failures", "failed_at"])
    return is_right


def _delay(failures: int) -> timedelta:
    return min(timedelta(seconds=2 ** (failures - 1)), MAX_DELAY)


def _is_recovery_code(device: TotpDevice, code: str) -> bool:
    plain = NOT_OF_A_CODE.sub("", code.lower())
    found = RecoveryCode.objects.filter(user=device.user_id, key_hash__in=peppers.hashes(plain))
    return found.delete()[0] > 0


def _is_new_totp(device: TotpDevice, code: str, now: datetime) -> bool:
    """Whether the code is right and new; records its time step, so that it cannot be used twice."""
    digits = code.replace(" ", "")
    if not CODE.fullmatch(digits):
        return False
    try:
        totp = TOTP(bytes.fromhex(sealing.unseal(device.sealed_key)))
    except sealing.Unreadable:
        return False
    totp.time = now.timestamp()
    is_right: bool = totp.verify(int(digits), 1, device.last_step + 1)
    if is_right:
        device.last_step = totp.t()
    return is_right


def renew_recovery_codes(user: User) -> list[str]:
    """Replaces the recovery codes; the new codes are not stored in readable form."""
    codes = [base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    with transaction.atomic():
        RecoveryCode.objects.filter(user=user).delete()
        for code in codes:
            RecoveryCode.objects.create(user=user, **peppers.stored(code)._asdict())
    return ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in codes]


def remove(user: User) -> None:
    """Removes the authenticator and the recovery codes."""
    with transaction.atomic():
        removed, _ = TotpDevice.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        if removed:
            notices.send(Notice.FACTOR_REMOVED, user)


def setup(user: User, sealed_key: str) -> dict[str, str]:
    """What an authenticator app needs: the key as text, and a QR code as a data URL. Raises Unreadable."""
    key = base64.b32encode(bytes.fromhex(sealing.unseal(sealed_key))).decode()
    label = quote(f"FonProxy:{user.get_username()}")
    uri = f"otpauth://totp/{label}?{urlencode({'secret': key, 'issuer': 'FonProxy'})}"
    return {"key": key, "qr_code": segno.make(uri, micro=False).svg_data_uri(scale=4, light="white")}
