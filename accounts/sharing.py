"""Share links: anyone with one can read a view of an account without signing in, until it expires or is revoked."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound

from accounts.audit_trail import Actor, record
from accounts.models import AuditRecord, Membership, Role, ShareLink, User
from accounts.selectors import decode_or_404, locked_account
from fonproxy.api.errors import Conflict

MAX_LINKS: Final = 50


def links_of(account: User, now: datetime) -> QuerySet[ShareLink]:
    """Links that have not expired, newest first. That of a locked creator does not work but can still be revoked."""
    return account.share_links.filter(expires_at__gt=now).select_related("maker").order_by("-created_at", "-pk")


def create(
    account: User, name: str, view: dict[str, Any], lifetime: timedelta, by: User, now: datetime
) -> tuple[ShareLink, str]:
    """A new link and its secret, which is not stored. Raises Conflict when the account has too many."""
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        locked_account(account.pk)
        if links_of(account, now).count() >= MAX_LINKS:
            raise Conflict(_("An account can have at most %s share links. Revoke one first.") % MAX_LINKS)
        link = ShareLink.objects.create(
            account=account,
            maker=by,
            name=name,
            view=view,
            key_hash=_hashed(secret),
            created_at=now,
            expires_at=now + lifetime,
        )
        record("share link created", AuditRecord.Kind.USER, account.pk, actor=Actor(by.pk), now=now)
    return link, secret


def revoke(account: User, published_id: str, by: User, now: datetime) -> None:
    """Raises NotFound."""
    with transaction.atomic():
        if not account.share_links.filter(pk=decode_or_404("share", published_id)).delete()[0]:
            raise NotFound
        record("share link revoked", AuditRecord.Kind.USER, account.pk, actor=Actor(by.pk), now=now)


def find(secret: str, now: datetime) -> ShareLink | None:
    """The working link of that secret with its account and creator.

    Links of staff accounts, of locked accounts and of creators who could not create them now do not work. Nobody
    deletes the link of a member that was created while the membership ended.
    """
    roles = [role for role in Role if role.includes(Role.MANAGER)]
    members = Membership.objects.filter(account=OuterRef("account"), person=OuterRef("maker"), role__in=roles)
    works = ShareLink.objects.filter(
        Q(maker=F("account")) | Exists(members),
        expires_at__gt=now,
        maker__is_active=True,
        maker__is_staff=False,
        maker__is_superuser=False,
        account__is_active=True,
        account__is_staff=False,
        account__is_superuser=False,
    )
    return works.select_related("account", "maker").filter(key_hash=_hashed(secret)).first()


def _hashed(secret: str) -> str:
    """An unsalted hash is enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
