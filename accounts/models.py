"""Users, their credentials and sign-ins, and the audit trail."""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models, transaction
from django.db.models import Q
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fonproxy import ids
from fonproxy.changes import differs
from fonproxy.formats import DEFAULT, LOCALES
from fonproxy.timerange import UTC_ZONE, InvalidTime, parse_zone

password_changed = Signal()
"""Sent with ``user`` after a password was replaced by another."""


class User(AbstractUser):
    """A customer, a proxy worker or a member of staff."""

    external_id = models.CharField(
        max_length=128, null=True, blank=True, unique=True, help_text="The id under which a billing system knows it."
    )
    updated_at = models.DateTimeField(
        null=True, editable=False, help_text="When its fields in the provisioning API last changed; empty: never."
    )

    last_put = models.JSONField(
        default=dict,
        db_default={},
        editable=False,
        help_text="Fields of the last PUT: a repeat of it changes nothing.",
    )
    time_zone = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="IANA zone of pages and mails. Empty: the browser's, UTC in mails.",
    )
    locale = models.CharField(
        max_length=8,
        blank=True,
        default="",
        db_default="",
        help_text="How pages and mails write numbers and dates, such as en-de. Empty: en.",
    )

    SEEN_BY_BILLING = ("external_id", "username", "email", "is_active")

    @property
    def published_id(self) -> str:
        return ids.encode("user", self.pk)

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.get_username()

    @property
    def zone(self) -> ZoneInfo:
        """The chosen time zone; UTC if none is chosen or this machine does not know the zone."""
        try:
            return parse_zone(self.time_zone) if self.time_zone else UTC_ZONE
        except InvalidTime:
            return UTC_ZONE

    @property
    def language(self) -> str:
        """The chosen locale as Django's language; the default without a choice, and for a locale that is gone."""
        return self.locale if self.locale in LOCALES else DEFAULT

    @property
    def has_powers(self) -> bool:
        """Whether the account has staff rights or permissions: only superusers change such an account."""
        return self.is_staff or self.is_superuser

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Ends all sign-ins when the password is new or the account is not active; keeps ``updated_at``."""
        fields = kwargs.get("update_fields")
        seen = [name for name in self.SEEN_BY_BILLING if fields is None or name in fields]
        if seen and not self._state.adding and differs(self, seen):
            self.updated_at = timezone.now()
            if fields is not None:
                kwargs["update_fields"] = {*fields, "updated_at"}
        has_new_password = self._password is not None and not self._state.adding  # type: ignore[attr-defined]  # Django's own mark of set_password
        with transaction.atomic():
            super().save(*args, **kwargs)
            if has_new_password or not self.is_active:
                self.end_sign_ins()
        if has_new_password:
            password_changed.send(User, user=self)

    def locked(self) -> User | None:
        """The current row, locked until the transaction ends; None if it is gone or has another password by now.

        A new password ends sign-ins and, on request, keys. A request that was admitted before creates none after it.
        """
        current = User.objects.select_for_update(no_key=True).filter(pk=self.pk).first()
        return current if current and current.password == self.password else None

    def end_sign_ins(self) -> None:
        """Ends every session and token of the user, and an unconfirmed change of address. API keys keep working."""
        self.sessions.all().delete()
        self.token_families.all().delete()
        EmailChange.objects.filter(user=self).delete()


class Session(AbstractBaseSession):
    """A browser's sign-in. ``session_key`` is a hash; only the browser's cookie has the key itself."""

    session_key = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")
    has_factor = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    user_agent = models.CharField(max_length=200, blank=True)

    class Meta:
        db_table = "sessions"


class TokenFamily(models.Model):
    """The tokens of one sign-in of a program. Deleting the row invalidates them."""

    key = models.CharField(max_length=32, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    has_factor = models.BooleanField(default=False)
    refresh_id = models.CharField(max_length=32, help_text="The only refresh token that may still be used.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "token_families"
        indexes = [models.Index(fields=["expires_at"], name="token_family_expires")]

    def __str__(self) -> str:
        return f"{self.user} since {self.created_at}"


class EmailChange(models.Model):
    """An unconfirmed new address. Only the hash of the mailed link's secret is stored."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="email_change")
    address = models.EmailField()
    key_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "email_changes"

    def __str__(self) -> str:
        return f"new address of {self.user_id}"


class Role(models.TextChoices):
    """A person's role in the team of an account; docs/dashboard.md lists the permissions."""

    OWNER = "owner", _("Owner")
    MANAGER = "manager", _("Manager")
    VIEWER = "viewer", _("Viewer")

    def includes(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) <= order.index(needed)


class Membership(models.Model):
    """Gives a person access to another user's account. The account's own user is its owner without a row."""

    account = models.ForeignKey(User, on_delete=models.CASCADE, related_name="members")
    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=7, choices=Role.choices)
    created_at = models.DateTimeField()
    opened_at = models.DateTimeField(
        null=True, help_text="When the member last switched to this account; empty after they returned to their own."
    )

    class Meta:
        db_table = "memberships"
        constraints = [models.UniqueConstraint(fields=["account", "person"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.person_id} in {self.account_id}"

    @property
    def published_id(self) -> str:
        return ids.encode("member", self.pk)


class Invitation(models.Model):
    """An invitation that has not been accepted yet. Only the hash of the mailed link's secret is stored."""

    account = models.ForeignKey(User, on_delete=models.CASCADE, related_name="invitations")
    maker = models.ForeignKey(
        User, null=True, on_delete=models.CASCADE, related_name="+", help_text="Empty if an earlier version created it."
    )
    address = models.EmailField(max_length=150)
    role = models.CharField(max_length=7, choices=Role.choices)
    key_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "invitations"
        constraints = [models.UniqueConstraint(fields=["account", "address"], name="invitation_once")]

    def __str__(self) -> str:
        return f"invitation to {self.account_id}"

    @property
    def published_id(self) -> str:
        return ids.encode("invitation", self.pk)


class ShareLink(models.Model):
    """Gives anyone with the link read access to one view of an account. Only the hash of its secret is stored."""

    account = models.ForeignKey(User, on_delete=models.CASCADE, related_name="share_links")
    maker = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    view = models.JSONField(help_text="Range and filters, as the address of a view names them.")
    key_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "share_links"

    def __str__(self) -> str:
        return f"share link of {self.account_id}"

    @property
    def published_id(self) -> str:
        return ids.encode("share", self.pk)


class SavedView(models.Model):
    """A named view of *Explore*, shared by the team of an account."""

    account = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=100)
    view = models.JSONField(help_text="Range and filters, as the address of a view names them.")

    class Meta:
        db_table = "saved_views"
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="saved_view_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def published_id(self) -> str:
        return ids.encode("view", self.pk)


class TotpDevice(models.Model):
    """A user's authenticator app, set up with a right code."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="totp_device")
    sealed_key = models.TextField()
    last_step = models.BigIntegerField(default=-1, help_text="The time step of the last code: each works once.")
    failures = models.PositiveSmallIntegerField(default=0, help_text="Wrong codes in a row.")
    failed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "totp_devices"

    def __str__(self) -> str:
        return f"authenticator of {self.user_id}"


class RecoveryCode(models.Model):
    """Replaces the authenticator once. Only its hash is stored."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    key_hash = models.CharField(max_length=64, unique=True)
    pepper = models.CharField(max_length=8)

    class Meta:
        db_table = "recovery_codes"

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"


class Scope(models.TextChoices):
    READ = "read"
    WRITE = "write"
    INGEST = "ingest"
    GATEWAY = "gateway"
    PROVISION = "provision"
    METRICS = "metrics"

    @property
    def column(self) -> str:
        """The field of ``ApiKey`` that says whether the key has this scope."""
        return f"can_{self.value}"


OWN_SCOPES = (Scope.READ, Scope.WRITE)
"""What an account grants itself; only staff grant the others."""


class ApiKey(models.Model):
    """A program's credential. Only a hash is stored: 256 random bits and a pepper need neither salt nor a slow hash."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    pepper = models.CharField(max_length=8, db_default="", editable=False, help_text="The pepper that is in the hash.")
    can_read = models.BooleanField("read", default=True)
    can_write = models.BooleanField("write", default=False)
    can_ingest = models.BooleanField("ingest", default=False)
    can_gateway = models.BooleanField("gateway", default=False)
    can_provision = models.BooleanField("provision", default=False)
    can_metrics = models.BooleanField("metrics", default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_access_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=reduce(or_, (Q(**{scope.column: True}) for scope in Scope)),
                name="api_key_has_a_scope",
                violation_error_message="A key needs at least one scope.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def published_id(self) -> str:
        return ids.encode("key", self.pk)

    @property
    def scopes(self) -> list[str]:
        return [scope.value for scope in Scope if self.has_scope(scope)]

    def has_scope(self, scope: Scope) -> bool:
        return bool(getattr(self, scope.column))

    def is_active(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Application(models.Model):
    """An API whose owner reports its events to FonProxy."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="applications")
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name

    @property
    def published_id(self) -> str:
        return ids.encode("application", self.pk)


class ApplicationKey(models.Model):
    """One of an application's keys; only its hash is stored. Exchanged keys work until ``ends_at``."""

    class KeyKind(models.TextChoices):
        WRITE = "write"
        READ = "read"

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="keys")
    kind = models.CharField(max_length=5, choices=KeyKind.choices)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    pepper = models.CharField(max_length=8, db_default="", editable=False, help_text="The pepper that is in the hash.")
    hint = models.CharField(max_length=4, editable=False, help_text="The key's first characters.")
    created_at = models.DateTimeField(editable=False)
    ends_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.hint}…"


class AuditRecord(models.Model):
    """One change of an account, by numbers only, so rows of erased customers stay. The database refuses updates."""

    class Kind(models.TextChoices):
        USER = "user"
        ORDER = "order"
        WEBHOOK = "webhook"

    at = models.DateTimeField("time")
    action = models.CharField(max_length=32)
    kind = models.CharField("changed", max_length=8, choices=Kind.choices)
    number = models.BigIntegerField(help_text="The user's or order's number.")
    actor_id = models.BigIntegerField("user", null=True, help_text="The number of the user who did it.")
    key_id = models.BigIntegerField("API key", null=True, help_text="The number of the key that was used.")

    class Meta:
        db_table = "audit_records"
        indexes = [models.Index(fields=["kind", "number"], name="audit_record_subject")]

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.number}"
