"""Celery tasks of accounts."""

from __future__ import annotations

from urllib.parse import urlsplit

from celery import shared_task
from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.utils import timezone

from accounts import team
from accounts.models import Invitation, ShareLink, TokenFamily
from accounts.sessions import SessionStore


@shared_task
def purge_sign_ins() -> None:
    """Deletes sessions, token families, invitations and share links that have expired."""
    now = timezone.now()
    SessionStore.clear_expired()
    TokenFamily.objects.filter(expires_at__lt=now).delete()
    Invitation.objects.filter(created_at__lt=now - team.LIFETIME).delete()
    ShareLink.objects.filter(expires_at__lt=now).delete()


@shared_task
def mail_password_reset(address: str) -> None:
    """Mails a link to every user with that address who may sign in. If a mail is lost, the user requests it again."""
    home = urlsplit(str(settings.PUBLIC_URL))
    form = PasswordResetForm({"email": address})
    if form.is_valid():
        form.save(
            # Not the request's Host header, which the caller chooses.
            domain_override=home.netloc,
            use_https=home.scheme == "https",
            subject_template_name="emails/password_reset_subject.txt",
            email_template_name="emails/password_reset.txt",
        )
