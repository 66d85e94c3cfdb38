"""Bodies and responses of the provisioning routes. Types are strict: a number in quotes is refused."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any, Final

from django.contrib.auth.validators import UnicodeUsernameValidator
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.models import User
from fonproxy.api.params import (
    BoundedListField,
    ExpiryField,
    Params,
    StrictIntegerField,
    TextField,
    WholeNumberField,
    ZoneField,
)
from fonproxy.mail_addresses import validate_address
from fonproxy.timerange import FIRST_YEAR, LAST_YEAR, UTC_ZONE, InvalidTime, parse_instant
from orders import proxy_users
from orders.addresses import MAX_NETWORKS
from orders.enforcement import CutOffChange
from orders.models import (
    MAX_LIMIT_BYTES,
    CutOff,
    LedgerEntry,
    LedgerReason,
    Network,
    ProxyType,
    without_control_characters,
)
from orders.passwords import PASSWORD
from orders.periods import Every, RecurringPeriod
from orders.selectors import LOGIN_LENGTH
from orders.serializers import LimitField, PeriodSerializer, ProxyUserSettings

MAX_ID_LENGTH: Final = 128
MAX_LOGINS: Final = 10_000
MAX_CONNECTIONS: Final = 1_000_000
LIMIT_SCHEMA: Final = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT_BYTES, "nullable": True}
PRINTABLE: Final = re.compile(r"[\x21-\x7e]{1,128}")


class ExternalIdField(TextField):
    """An id of the billing system: 1 to 128 printable ASCII characters without spaces."""

    default_error_messages = {"unprintable": "Must be 1 to 128 printable ASCII characters without spaces."}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not PRINTABLE.fullmatch(text):
            self.fail("unprintable")
        return text


class StartField(serializers.DateTimeField):
    """A start: a date means its first instant."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return parse_instant(str(value)).at
        except InvalidTime as fault:
            raise serializers.ValidationError(str(fault)) from None


class UserBody(serializers.Serializer[Any]):
    username = TextField(
        required=False, max_length=150, validators=[UnicodeUsernameValidator()], help_text="By default the external id."
    )
    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)

    def validate_email(self, email: str) -> str:
        if email:
            validate_address(email)
        return email


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "maxLength": LOGIN_LENGTH},
            {
                "type": "object",
                "required": ["login"],
                "properties": {
                    "login": {"type": "string", "maxLength": LOGIN_LENGTH},
                    "password": {
                        "type": "string",
                        "pattern": f"^{PASSWORD.pattern}$",
                        "description": "If omitted, a login without a password gets a generated one.",
                    },
                    "allowedIps": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_NETWORKS},
                    "maxConnections": {"type": "integer", "minimum": 1, "maximum": MAX_CONNECTIONS, "nullable": True},
                    "limits": {
                        "type": "object",
                        "description": "Only the login that reaches a limit is stopped. null: no limit.",
                        "properties": dict.fromkeys(proxy_users.LIMITS, LIMIT_SCHEMA),
                    },
                },
            },
        ]
    }
)
class ProxyUserBody(ProxyUserSettings):
    """A login with its settings, or only the login; missing settings stay unchanged."""

    login = TextField(max_length=LOGIN_LENGTH, validators=[without_control_characters])
    maxConnections = StrictIntegerField(min_value=1, max_value=MAX_CONNECTIONS, allow_null=True, required=False)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            return {"login": self.fields["login"].run_validation(data), "is_login_only": True}
        return super().to_internal_value(data)


class PeriodBody(serializers.Serializer[Any]):
    """When an order renews automatically: at the start of a day, week or month."""

    every = serializers.ChoiceField(choices=Every.choices)
    anchor = serializers.DateField(help_text="A day on which a period begins; the others follow from it.")
    timezone = ZoneField(default=UTC_ZONE, help_text="The IANA time zone in which days begin.")
    rollover = serializers.BooleanField(default=False, help_text="Whether the remaining bytes are kept.")

    def validate_anchor(self, anchor: date) -> date:
        if not FIRST_YEAR <= anchor.year <= LAST_YEAR:
            raise serializers.ValidationError(f"Must lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
        return anchor

    def to_internal_value(self, data: Any) -> RecurringPeriod:
        given = super().to_internal_value(data)
        return RecurringPeriod(Every(given["every"]), given["anchor"], given["timezone"].key, given["rollover"])


class OrderLimitsBody(serializers.Serializer[Any]):
    dayBytes = LimitField(
        help_text="Bytes of both directions. At the limit, the order is stopped until the day ends. null: no limit."
    )


class OrderBody(serializers.Serializer[Any]):
    user = ExternalIdField(help_text="The customer's external id.")
    name = TextField(max_length=100)
    proxyType = serializers.ChoiceField(choices=ProxyType.choices)
    trafficLimitBytes = StrictIntegerField(min_value=0, max_value=MAX_LIMIT_BYTES, allow_null=True)
    startsAt = StartField(required=False, help_text="Default: now for a new order, else unchanged.")
    expiresAt = ExpiryField(
        required=False, allow_null=True, help_text="Default: never for a new order, else unchanged."
    )
    period = PeriodBody(
        required=False, allow_null=True, help_text="null: it does not renew automatically. Default: unchanged."
    )
    limits = OrderLimitsBody(
        required=False, help_text="Fair use of an order without a traffic limit. Omitted fields stay unchanged."
    )
    proxyUsers = BoundedListField(
        child=ProxyUserBody(), max_length=MAX_LOGINS, default=list, help_text="Exactly these logins."
    )

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["trafficLimitBytes"] is not None and given.get("limits", {}).get("dayBytes") is not None:
            raise serializers.ValidationError({"limits": "Only an order without a traffic limit has a daily one."})
        return given

    def validate_proxyUsers(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        by_login = {entry["login"]: entry for entry in entries}
        if any(by_login[entry["login"]] != entry for entry in entries):
            raise serializers.ValidationError("A login is given twice with different settings.")
        return list(by_login.values())


class CreditBody(serializers.Serializer[Any]):
    reference = ExternalIdField(help_text="The billing system's id for this posting; a repeat adds nothing.")
    bytes = StrictIntegerField(min_value=1, max_value=MAX_LIMIT_BYTES)
    note = TextField(max_length=500, allow_blank=True, default="")


class AdjustmentBody(CreditBody):
    bytes = StrictIntegerField(min_value=-MAX_LIMIT_BYTES, max_value=MAX_LIMIT_BYTES)


class RenewalBody(serializers.Serializer[Any]):
    reference = ExternalIdField(help_text="The billing system's id for this renewal; a repeat renews nothing.")
    bytes = StrictIntegerField(
        min_value=0,
        max_value=MAX_LIMIT_BYTES,
        required=False,
        default=None,
        help_text="Default: the limit bought last.",
    )
    expiresAt = ExpiryField(required=False, default=None, help_text="Default: unchanged.")
    note = TextField(max_length=500, allow_blank=True, default="")


class FeedParams(Params):
    since = WholeNumberField(
        required=False,
        default=0,
        min_value=0,
        help_text="The cursor of the previous response; without it the feed starts from the beginning.",
    )
    limit = WholeNumberField(required=False, default=1000, min_value=1, max_value=10_000)


class UserSerializer(serializers.Serializer[User]):
    externalId = serializers.CharField(source="external_id")
    id = serializers.CharField(source="published_id")
    userId = serializers.IntegerField(source="pk", help_text="The number under which gateways push.")
    username = serializers.CharField()
    email = serializers.CharField()


class UserAnswer(serializers.Serializer[Any]):
    user = UserSerializer()


class ProvisionedOrderSerializer(serializers.Serializer[Any]):
    """An order with its account."""

    externalId = serializers.CharField(allow_null=True)
    id = serializers.CharField()
    orderId = serializers.IntegerField(help_text="The number under which gateways push.")
    user = serializers.CharField(allow_null=True, help_text="The customer's external id.")
    name = serializers.CharField()
    proxyType = serializers.ChoiceField(choices=ProxyType.choices)
    network = serializers.ChoiceField(choices=Network.choices)
    state = serializers.ChoiceField(choices=CutOff.State.choices)
    trafficLimitBytes = serializers.IntegerField(allow_null=True, help_text="The bytes bought for the period.")
    addedBytes = serializers.IntegerField(help_text="Bytes added by top-ups, refunds and adjustments in this period.")
    bytesLeft = serializers.IntegerField(allow_null=True, help_text="According to the ledger; null when not metered.")
    startsAt = serializers.DateTimeField()
    expiresAt = serializers.DateTimeField(allow_null=True)
    period = PeriodSerializer(allow_null=True)
    renewsAt = serializers.DateTimeField(allow_null=True, help_text="The next automatic renewal.")
    dayLimitBytes = serializers.IntegerField(
        allow_null=True, help_text="The daily limit of an order without a traffic limit."
    )
    proxyUsers = serializers.ListField(child=serializers.CharField())


class OrderAnswer(serializers.Serializer[Any]):
    order = ProvisionedOrderSerializer()
    passwords = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="Generated passwords by login; only this response contains them.",
    )


class EntrySerializer(serializers.Serializer[LedgerEntry]):
    reference = serializers.CharField(allow_null=True)
    reason = serializers.ChoiceField(choices=LedgerReason.choices)
    bytes = serializers.IntegerField()
    note = serializers.CharField()
    createdAt = serializers.DateTimeField(source="created_at")


class PostedAnswer(serializers.Serializer[Any]):
    entry = EntrySerializer()
    order = ProvisionedOrderSerializer()


class ChangeSerializer(serializers.Serializer[CutOffChange]):
    """The latest change of an order: a new state or new logins. An erased order is expired."""

    externalId = serializers.CharField(source="external_id", allow_null=True)
    id = serializers.CharField(source="published_id")
    orderId = serializers.IntegerField(source="order_id")
    userId = serializers.IntegerField(source="user_id")
    state = serializers.ChoiceField(choices=CutOff.State.choices, help_text="`active`: carry it.")
    at = serializers.DateTimeField(source="changed_at")
    proxyUsers = serializers.ListField(child=serializers.CharField(), source="logins")


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class FeedAnswer(serializers.Serializer[Any]):
    changes = ChangeSerializer(many=True)
    cursor = serializers.CharField(help_text="Send it as `since` in the next call.")
    hasMore = serializers.BooleanField()


class ErasedAnswer(serializers.Serializer[Any]):
    erased = serializers.DictField(child=serializers.IntegerField(), help_text="Rows deleted, by table.")
