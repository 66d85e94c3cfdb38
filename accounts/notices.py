"""Mails about changes of an account's credentials. They go to the owner, even if somebody else made the change."""

from __future__ import annotations

import logging
from enum import Enum
from functools import partial
from smtplib import SMTPException
from typing import Final

from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from redis.exceptions import RedisError

from accounts.models import User, password_changed
from fonproxy import counters

MAX_AN_HOUR: Final = 10
"""Mails about the same event to an account, from the first of them on."""
HOUR_SECONDS: Final = 60 * 60

log = logging.getLogger(__name__)


class Notice(Enum):
    """The event, as worded in the mail."""

    NEW_KEY = gettext_lazy("a new API key was created")
    NEW_PASSWORD = gettext_lazy("the password was changed")
    NEW_ADDRESS = gettext_lazy("the e-mail address was changed")
    NEW_FACTOR = gettext_lazy("two-factor authentication was turned on")
    NEW_MEMBER = gettext_lazy("a person joined the team of your account")
    FACTOR_REMOVED = gettext_lazy("two-factor authentication was turned off")


@shared_task(autoretry_for=(OSError, SMTPException), retry_backoff=30, max_retries=5)
def mail(subject: str, text: str, address: str) -> None:
    try:
        send_mail(subject, text, None, [address])
    except ValueError as error:  # an address without an ASCII form: another attempt would not help
        log.warning("a notice could not be mailed: %s", error)


def send(notice: Notice, user: User, address: str | None = None, *, detail: str = "") -> None:
    """Mails the owner once the transaction is committed, at the current address or at ``address``.

    ``detail`` identifies the key or person. It must not contain text chosen by the person who made the change.
    """
    to = user.email if address is None else address
    if to:
        transaction.on_commit(partial(_send, notice, user, to, detail), robust=True)


def _send(notice: Notice, user: User, address: str, detail: str) -> None:
    """Mails it, unless enough mails of this event were sent. Each event has its own count, so that none hides another.

    Counted after the commit: what is rolled back takes no mail's place.
    """
    try:
        sent = counters.count(f"notices:{notice.name}:{user.pk}", HOUR_SECONDS)
    except RedisError:  # rather a mail too many than none
        sent = 1
    if sent > MAX_AN_HOUR:
        return
    context = {
        "name": user.get_username(),
        "event": f"{notice.value} ({detail})" if detail else notice.value,
        "is_last": sent == MAX_AN_HOUR,
        "home": settings.PUBLIC_URL,
    }
    text = render_to_string("emails/notice.txt", context)
    mail.delay(_("FonProxy: %(event)s") % {"event": notice.value}, text, address)


def send_new_password(sender: object, user: User, **rest: object) -> None:
    """Receives ``password_changed``."""
    send(Notice.NEW_PASSWORD, user)


def register() -> None:
    password_changed.connect(send_new_password)
