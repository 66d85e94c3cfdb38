"""Bodies and answers of the provisioning routes. Strict: a number in quotes is no number."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.validators import UnicodeUsernameValidator
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from accounts.models import Network, ProxyType, User
from accounts.serializers import TextField
from fonproxy.api.params import ExpiryField, Params, StrictIntegerField, WholeNumberField
from fonproxy.timerange import InvalidTime, parse_instant
from usage.cut_off import Change
from usage.models import CutOff, LedgerEntry, Reason
from usage.orders import MOST_BYTES

LONGEST_ID: Final = 128
MOST_LOGINS: Final = 10_000
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
    """An instant something begins: a date means its first moment."""

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


class OrderBody(serializers.Serializer[Any]):
    user = ExternalIdField(help_text="The customer's external id.")
    name = TextField(max_length=100)
    proxyType = serializers.ChoiceField(choices=ProxyType.choices)
    trafficLimitBytes = StrictIntegerField(min_value=0, max_value=MOST_BYTES, allow_null=True)
    startsAt = StartField(required=False, help_text="By default now, or as it is.")
    expiresAt = ExpiryField(required=False, allow_null=True, help_text="By default never, or as it is.")
    proxyUsers = serializers.ListField(
        child=TextField(max_length=255), max_length=MOST_LOGINS, default=list, help_text="Exactly these logins."
    )


class CreditBody(serializers.Serializer[Any]):
    reference = ExternalIdField(help_text="The billing system's id for it; the same again adds nothing.")
    bytes = StrictIntegerField(min_value=1, max_value=MOST_BYTES)
    note = TextField(max_length=500, allow_blank=True, default="")


class AdjustmentBody(CreditBody):
    bytes = StrictIntegerField(min_value=-MOST_BYTES, max_value=MOST_BYTES)


class RenewalBody(serializers.Serializer[Any]):
    reference = ExternalIdField(help_text="The billing system's id for it; the same again renews nothing.")
    bytes = StrictIntegerField(
        min_value=0, max_value=MOST_BYTES, required=False, default=None, help_text="By default as bought before."
    )
    expiresAt = ExpiryField(required=False, default=None, help_text="By default as it is.")
    note = TextField(max_length=500, allow_blank=True, default="")


class FeedParams(Params):
    since = WholeNumberField(
        required=False, default=0, min_value=0, help_text="The cursor of the answer before; without it, from the start."
    )
    limit = WholeNumberField(required=False, default=1000, min_value=1, max_value=10_000)


class UserSerializer(serializers.Serializer[User]):
    externalId = serializers.CharField(source="external_id")
    id = serializers.CharField(source="published_id")
    userId = serializers.IntegerField(source="pk", help_text="The number that proxy workers push under.")
    username = serializers.CharField()
    email = serializers.CharField()


class UserAnswer(serializers.Serializer[Any]):
    user = UserSerializer()


class ProvisionedOrderSerializer(serializers.Serializer[Any]):
    """An order with its account."""

    externalId = serializers.CharField(allow_null=True)
    id = serializers.CharField()
    orderId = serializers.IntegerField(help_text="The number that proxy workers push under.")
    user = serializers.CharField(allow_null=True, help_text="The customer's external id.")
    name = serializers.CharField()
    proxyType = serializers.ChoiceField(choices=ProxyType.choices)
    network = serializers.ChoiceField(choices=Network.choices)
    state = serializers.ChoiceField(choices=CutOff.State.choices)
    trafficLimitBytes = serializers.IntegerField(allow_null=True, help_text="As bought for the period.")
    addedBytes = serializers.IntegerField(help_text="By top-ups, refunds and adjustments in this period.")
    bytesLeft = serializers.IntegerField(allow_null=True, help_text="By the ledger; null when not metered.")
    startsAt = serializers.DateTimeField()
    expiresAt = serializers.DateTimeField(allow_null=True)
    proxyUsers = serializers.ListField(child=serializers.CharField())


class OrderAnswer(serializers.Serializer[Any]):
    order = ProvisionedOrderSerializer()


class EntrySerializer(serializers.Serializer[LedgerEntry]):
    reference = serializers.CharField(allow_null=True)
    reason = serializers.ChoiceField(choices=Reason.choices)
    bytes = serializers.IntegerField()
    note = serializers.CharField()
    createdAt = serializers.DateTimeField(source="created_at")


class PostedAnswer(serializers.Serializer[Any]):
    entry = EntrySerializer()
    order = ProvisionedOrderSerializer()


class ChangeSerializer(serializers.Serializer[Change]):
    """The latest change of one order: its state is another, or it has new logins. An erased order has expired."""

    externalId = serializers.CharField(source="external_id", allow_null=True)
    id = serializers.CharField(source="published_id")
    orderId = serializers.IntegerField(source="order_id")
    userId = serializers.IntegerField(source="user_id")
    state = serializers.ChoiceField(choices=CutOff.State.choices, help_text="`active`: carry it.")
    at = serializers.DateTimeField(source="changed_at")
    proxyUsers = serializers.ListField(child=serializers.CharField(), source="logins")


@extend_schema_serializer(many=False)  # or it would be described as a list of these
class FeedAnswer(serializers.Serializer[Any]):
    changes = ChangeSerializer(many=True)
    cursor = serializers.CharField(help_text="To be sent as `since` next time.")
    hasMore = serializers.BooleanField()


class ErasedAnswer(serializers.Serializer[Any]):
    erased = serializers.DictField(child=serializers.IntegerField(), help_text="Rows deleted, by table.")
