"""Which e-mail addresses are accepted."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail.message import sanitize_address
from django.core.validators import validate_email


def validate_address(address: str) -> None:
    """Raises ValidationError, also for a domain without an ASCII form, which Django only checks when it sends."""
    validate_email(address)
    if not has_ascii_form(address):
        raise ValidationError(validate_email.message, code="invalid")


def has_ascii_form(address: str) -> bool:
    """Whether mail can be sent to it; addresses stored before this check may lack an ASCII form."""
    try:
        sanitize_address(address, settings.DEFAULT_CHARSET)
    except ValueError:
        return False
    return True
