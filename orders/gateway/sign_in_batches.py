"""Sign-ins that arrive at the same time, decided together.

A few queries find their keys, logins and balances; on its own, a sign-in takes less time than the request around it.
The view answers those with any peculiarity, such as a password that was not verified before, as if they had arrived
alone. Nothing is written for the others, so if anything fails, the view answers them too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from django.db import close_old_connections
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.utils import json

from accounts.authentication import find_active_keys, key_secret
from accounts.models import ApiKey, Scope
from fonproxy.api.renderers import JsonRenderer
from fonproxy.server.batches import Environ, Handled
from orders.gateway import forms
from orders.gateway.authentication import basic_secret
from orders.gateway.decision import SignIn, decide_together
from orders.gateway.forms import Form

log = logging.getLogger(__name__)


def answer(form: Form, environs: Sequence[Environ]) -> list[Handled | None]:
    """The answers to these requests; None for those that the view must answer."""
    close_old_connections()
    try:
        return _answer(form, environs)
    except Exception:
        log.exception("sign-ins could not be decided together")
        return [None] * len(environs)
    finally:
        close_old_connections()


authorize: Final = partial(answer, forms.AUTHORIZE)
radius: Final = partial(answer, forms.RADIUS)
gost: Final = partial(answer, forms.GOST)


def _answer(form: Form, environs: Sequence[Environ]) -> list[Handled | None]:
    answers: list[Handled | None] = [None] * len(environs)
    read = dict(_read(form, environs))
    decisions = decide_together([sign_in for _, sign_in in read.values()], timezone.now())
    for (number, (key, sign_in)), decision in zip(read.items(), decisions, strict=True):
        if decision is not None:
            status, content = form.answer(sign_in, decision)
            answers[number] = Handled(key.user_id, status=status, body=JsonRenderer().render(content))
    return answers


def _read(form: Form, environs: Sequence[Environ]) -> Iterator[tuple[int, tuple[ApiKey, SignIn]]]:
    """The well-formed sign-ins of gateways, with their positions."""
    secrets = [_secret(environ) for environ in environs]
    keys = find_active_keys({secret for secret in secrets if secret is not None})
    for number, (environ, secret) in enumerate(zip(environs, secrets, strict=True)):
        key = keys.get(secret) if secret is not None else None
        if key is not None and key.has_scope(Scope.GATEWAY):
            try:
                yield number, (key, form.read(json.loads(environ["wsgi.input"].read().decode())))
            except (ValueError, RecursionError, ValidationError):
                continue


def _secret(environ: Environ) -> str | None:
    """The API key that the view would look up, valid or not; None if there is none."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    try:
        basic = basic_secret(authorization)
    except ValueError:
        return None
    return key_secret(environ.get("HTTP_X_API_KEY"), authorization) if basic is None else basic
