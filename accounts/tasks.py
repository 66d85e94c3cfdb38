"""What Celery does for accounts."""

from __future__ import annotations

from urllib.parse import urlsplit

from celery import shared_task
from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm


@shared_task
def mail_password_reset(address: str) -> None:
    """Mails a link to everyone with that address who may sign in. What is lost on the way can be asked for again."""
    home = urlsplit(str(settings.PUBLIC_URL))
    form = PasswordResetForm({"email": address})
    if form.is_valid():
        form.save(
            # Not the host that the request named: whoever asks chooses that.
            domain_override=home.netloc,
            use_https=home.scheme == "https",
            subject_template_name="emails/password_reset_subject.txt",
            email_template_name="emails/password_reset.txt",
        )
