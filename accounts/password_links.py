"""Links for setting a password, and the welcome mail with such a link."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.notices import mail
from fonproxy.api.errors import Conflict


class PasswordLink(NamedTuple):
    """A token that works once, and becomes invalid when the password or address changes or the user signs in."""

    url: str
    expires_at: datetime


def make(user: User, now: datetime) -> PasswordLink:
    """The URL of a new link. Raises Conflict for an account that may not sign in."""
    if not user.is_active:
        raise Conflict("The account is deactivated, so nobody can sign in to it.")
    name = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("new-password", args=[name, default_token_generator.make_token(user)])
    lifetime = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
    return PasswordLink(f"{settings.PUBLIC_URL}{path}", (now + lifetime).replace(microsecond=0))


def mail_welcome(user: User, now: datetime) -> None:
    """Mails the link once the transaction is committed. Raises Conflict."""
    link = make(user, now)
    context = {"name": user.get_username(), "link": link, "home": settings.PUBLIC_URL}
    with translation.override(user.language):
        text = render_to_string("emails/welcome.txt", context)
    transaction.on_commit(partial(mail.delay, _("Welcome to FonProxy"), text, user.email), robust=True)
