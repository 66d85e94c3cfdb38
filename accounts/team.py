"""The team of an account: invitations, joining, roles and leaving.

The account's own user is always an owner and in no table, so that no change here can leave an account without an owner.
An invitation is used up in the transaction that adds its member. If the process dies before the mail is sent, the owner
invites again, which replaces the link.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound

from accounts import notices
from accounts.audit_trail import Actor, record
from accounts.models import AuditRecord, Invitation, Membership, Role, User
from accounts.notices import Notice
from accounts.selectors import decode_or_404, locked_account
from fonproxy.api.errors import Conflict

LIFETIME: Final = timedelta(days=7)
MAX_PLACES: Final = 50


def members_of(account: User) -> QuerySet[Membership]:
    return account.members.select_related("person").order_by("created_at", "pk")


def invitations_of(account: User, now: datetime) -> QuerySet[Invitation]:
    """Invitations that can still be accepted."""
    usable = account.invitations.filter(created_at__gt=now - LIFETIME)
    return usable.select_related("maker").order_by("created_at", "pk")


def find_member(account: User, published_id: str) -> Membership:
    """Raises NotFound."""
    member = members_of(account).filter(pk=decode_or_404("member", published_id)).first()
    if member is None:
        raise NotFound
    return member


def invite(account: User, address: str, role: Role, by: User, now: datetime) -> None:
    """Mails a link to the address; an earlier link to it becomes invalid. Raises Conflict.

    Raises PermissionDenied if the caller is no longer an owner: a concurrent request must not outlive a removal.
    """
    address = address.lower()
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        locked_account(account.pk)
        if by != account and not account.members.filter(person=by, role=Role.OWNER).exists():
            raise PermissionDenied
        if address == account.email.lower() or members_of(account).filter(person__email__iexact=address).exists():
            raise Conflict(_("This person is already in the team."))
        others = invitations_of(account, now).exclude(address=address)
        if others.count() + members_of(account).count() >= MAX_PLACES:
            raise Conflict(_("A team has at most %s members and invitations. Remove one first.") % MAX_PLACES)
        Invitation.objects.update_or_create(
            account=account,
            address=address,
            defaults={"maker": by, "role": role, "key_hash": _hashed(secret), "created_at": now},
        )
        record("team: invited", AuditRecord.Kind.USER, account.pk, actor=Actor(by.pk), now=now)
        link = f"{settings.PUBLIC_URL}{reverse('join-team', args=[secret])}"
        context = {"inviter": by.email or by.username, "account": account.username, "role": role, "link": link}
        text = render_to_string("emails/invitation.txt", context)
        subject = _("Invitation to the FonProxy account %(account)s") % context
        transaction.on_commit(partial(notices.mail.delay, subject, text, address), robust=True)


def withdraw(account: User, published_id: str, by: User, now: datetime) -> None:
    """Withdraws an invitation. Raises NotFound."""
    with transaction.atomic():
        found = account.invitations.filter(pk=decode_or_404("invitation", published_id))
        if not found.delete()[0]:
            raise NotFound
        record("team: invitation withdrawn", AuditRecord.Kind.USER, account.pk, actor=Actor(by.pk), now=now)


def find_invitation(secret: str, now: datetime) -> Invitation | None:
    """The acceptable invitation of a link, with its account."""
    usable = Invitation.objects.filter(created_at__gt=now - LIFETIME, account__is_active=True)
    usable = usable.exclude(maker__is_active=False)
    return usable.select_related("account").filter(key_hash=_hashed(secret)).first()


def has_sign_in(address: str) -> bool:
    """Whether a user has this address, or has it as user name."""
    return User.objects.filter(Q(email__iexact=address) | Q(username__iexact=address)).exists()


def new_person(invitation: Invitation) -> User:
    """An unsaved user. The link has proved the address, which is also the user name."""
    return User(username=invitation.address, email=invitation.address)


def accept(secret: str, person: User, now: datetime) -> Membership | None:
    """Adds the person to the team and notifies the account's owner; None for a link that is used up or has expired.

    Raises Conflict for the account's own user, and for staff.
    """
    with transaction.atomic():
        invitation = find_invitation(secret, now)
        if invitation is None:
            return None
        account = locked_account(invitation.account_id)
        if person == account:
            raise Conflict(_("This is your own account. Sign in as the invited person."))
        if person.has_powers or account.has_powers:
            raise Conflict(_("Staff cannot join a customer's team. Use a personal account."))
        if not Invitation.objects.filter(pk=invitation.pk, key_hash=_hashed(secret)).delete()[0]:
            return None
        member, _created = Membership.objects.update_or_create(
            account=account,
            person=person,
            defaults={"role": invitation.role},
            create_defaults={"role": invitation.role, "created_at": now},
        )
        _record_both("joined", member, person, now)
        role = Role(member.role).label.lower()
        detail = _("%(name)s, as %(role)s") % {"name": person.get_username(), "role": role}
        notices.send(Notice.NEW_MEMBER, account, detail=detail)
    return member


def change_role(member: Membership, role: Role, by: User, now: datetime) -> None:
    """Also ends the person's invitations and share links that the new role could not create.

    Raises NotFound for a member who was removed concurrently.
    """
    with transaction.atomic():
        locked_account(member.account_id)
        if not Membership.objects.filter(pk=member.pk).update(role=role):
            raise NotFound
        _end_what_they_made(member, role)
        _record_both(f"now {role.value}", member, by, now)


def remove(member: Membership, by: User, now: datetime) -> None:
    """Ends the person's access at once, because each request reads the membership. API keys of the account keep
    working.

    The person's invitations and share links end too, because they could restore the access.
    """
    with transaction.atomic():
        locked_account(member.account_id)
        _end_what_they_made(member, None)
        _record_both("left" if by == member.person else "removed", member, by, now)
        member.delete()


def _end_what_they_made(member: Membership, role: Role | None) -> None:
    if role is None or not role.includes(Role.MANAGER):
        member.account.share_links.filter(maker=member.person).delete()
    if role is not Role.OWNER:
        member.account.invitations.filter(maker=member.person).delete()


def _record_both(action: str, member: Membership, by: User, now: datetime) -> None:
    """Records refer to one account each: one names the team, the other the person concerned."""
    for number in (member.account_id, member.person_id):
        record(f"team: {action}", AuditRecord.Kind.USER, number, actor=Actor(by.pk), now=now)


def _hashed(secret: str) -> str:
    """An unsalted hash is enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
