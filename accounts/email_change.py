"""A change of e-mail address: confirmed by a link sent to the new address, then announced to the old one.

The link works only for its user while signed in, so a link sent to a mistyped address is useless to its receiver. Until
the link is followed the account keeps its old address. If the process dies before the mail is sent, the user requests
the change again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import notices
from accounts.models import EmailChange, User
from accounts.notices import Notice
from accounts.selectors import locked_account

LIFETIME: Final = timedelta(hours=24)


def pending(user: User, now: datetime) -> EmailChange | None:
    """The user's unconfirmed change, if there is one."""
    return EmailChange.objects.filter(user=user, created_at__gt=now - LIFETIME).first()


def request(user: User, address: str, now: datetime) -> None:
    """Mails a link to the new address; an earlier link becomes invalid."""
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        EmailChange.objects.update_or_create(
            user=user, defaults={"address": address, "key_hash": _hashed(secret), "created_at": now}
        )
        link = f"{settings.PUBLIC_URL}{reverse('confirm-email', args=[secret])}"
        text = render_to_string("emails/new_address.txt", {"name": user.get_username(), "link": link})
        subject = _("Confirm your new e-mail address")
        transaction.on_commit(partial(notices.mail.delay, subject, text, address), robust=True)


def find(user: User, secret: str, now: datetime) -> EmailChange | None:
    """The user's unconfirmed change if this is the secret of its link."""
    change = pending(user, now)
    return change if change and hmac.compare_digest(change.key_hash, _hashed(secret)) else None


def confirm(user: User, secret: str, now: datetime) -> bool:
    """Replaces the address and notifies the old one; False when the link is invalid, expired or another user's."""
    with transaction.atomic():
        change = find(locked_account(user.pk), secret, now)
        if change is None:
            return False
        notices.send(Notice.NEW_ADDRESS, user)
        user.email = change.address
        user.save(update_fields=["email"])
        change.delete()
    return True


def cancel(user: User) -> None:
    EmailChange.objects.filter(user=user).delete()


def _hashed(secret: str) -> str:
    """An unsalted hash is enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
