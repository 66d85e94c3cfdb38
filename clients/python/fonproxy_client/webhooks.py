"""Verification of webhooks as https://www.standardwebhooks.com describes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

TOLERANCE_SECONDS = 300


class InvalidWebhook(Exception):
    """Not from FonProxy, or too old: answer 400."""


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> Any:
    """The webhook's JSON; ``secret`` begins with ``whsec_``. Raises InvalidWebhook.

    Webhooks are delivered at least once: the header ``webhook-id`` stays the same in repeats.
    """
    given = {name.lower(): value for name, value in headers.items()}
    identifier, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise InvalidWebhook("The timestamp is missing.")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        raise InvalidWebhook("The timestamp is too far from now.")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise InvalidWebhook("The secret is not one of FonProxy's.") from None
    signed = f"{identifier}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given_ones = given.get("webhook-signature", "").split()
    signatures = [one.removeprefix("v1,").encode() for one in given_ones if one.startswith("v1,")]
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise InvalidWebhook("The signature does not match.")
    return json.loads(body)
