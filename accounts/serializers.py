"""What goes in and out of the account routes. Names are camel case, as published."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.applications import Keys
from accounts.models import ApiKey, Application, Network, Order, OrderStatus, ProxyType, Scope
from fonproxy.api.params import ExpiryField, IdField, Params


class TextField(serializers.CharField):
    """A JSON string and nothing that could be made into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ScopeField(serializers.ChoiceField):
    """One scope. The message does not repeat what was sent: that may be text no answer can carry."""

    default_error_messages = {"invalid_choice": "Must be read or ingest."}

    def __init__(self) -> None:
        super().__init__(choices=Scope.choices)


class TokenRequestSerializer(serializers.Serializer[Any]):
    username = TextField(max_length=150, trim_whitespace=False)
    password = TextField(trim_whitespace=False, style={"input_type": "password"})


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class RefreshRequestSerializer(serializers.Serializer[Any]):
    refresh = TextField()


class AccessTokenSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()


class NewKeySerializer(serializers.Serializer[Any]):
    """The body of a key's creation; the context holds ``now``."""

    name = TextField(max_length=100)
    scopes = serializers.ListField(child=ScopeField(), allow_empty=False, default=[Scope.READ.value])
    expiresAt = ExpiryField(
        required=False, allow_null=True, default=None, help_text="ISO 8601; a date means the whole of that day."
    )

    def validate_expiresAt(self, value: datetime | None) -> datetime | None:
        if value is not None and value <= self.context["now"]:
            raise serializers.ValidationError("Must lie in the future.")
        return value


class ApiKeySerializer(serializers.Serializer[ApiKey]):
    """A key as its owner sees it; the context holds ``now``."""

    id = serializers.CharField(source="published_id")
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    isActive = serializers.SerializerMethodField()
    lastAccessAt = serializers.DateTimeField(source="last_access_at", allow_null=True)
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")

    def get_isActive(self, key: ApiKey) -> bool:
        return key.is_active(self.context["now"])


class IssuedKeySerializer(ApiKeySerializer):
    """A key as it is told once, with its secret from the context."""

    key = serializers.SerializerMethodField(help_text="The secret, shown this once.")

    def get_key(self, key: ApiKey) -> str:
        secret: str = self.context["secret"]
        return secret


@extend_schema_serializer(many=False)  # or it would be described as a list of these
class KeyListSerializer(serializers.Serializer[Any]):
    apiKeys = ApiKeySerializer(many=True)


class KeyCreatedSerializer(serializers.Serializer[Any]):
    apiKey = IssuedKeySerializer()
    message = serializers.ChoiceField(choices=["api_key.created"])


class OrderParams(Params):
    userId = IdField(required=False, default=None, help_text="Staff only: whose orders.")


class OrderSerializer(serializers.Serializer[Order]):
    """An order as its owner sees it; the context holds ``now``."""

    id = serializers.CharField(source="published_id")
    name = serializers.CharField()
    proxyType = serializers.ChoiceField(choices=ProxyType.choices, source="product.proxy_type")
    network = serializers.ChoiceField(choices=Network.choices, source="product.network")
    status = serializers.SerializerMethodField()
    trafficLimitBytes = serializers.IntegerField(source="limit_bytes", allow_null=True)
    startedAt = serializers.DateTimeField(source="started_at")
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True)

    @extend_schema_field(serializers.ChoiceField(choices=OrderStatus.choices))
    def get_status(self, order: Order) -> str:
        return order.status(self.context["now"]).value


@extend_schema_serializer(many=False)  # or it would be described as a list of these
class OrderListSerializer(serializers.Serializer[Any]):
    orders = OrderSerializer(many=True)


class NewApplicationSerializer(serializers.Serializer[Any]):
    name = TextField(max_length=100)


class RotationSerializer(serializers.Serializer[Any]):
    immediately = serializers.BooleanField(
        default=False, help_text="End the old keys at once, for one that leaked; else they work on for a while."
    )


class ApplicationSerializer(serializers.Serializer[Application]):
    id = serializers.CharField(source="published_id", help_text="To be sent as X-Auth-User.")
    name = serializers.CharField()
    createdAt = serializers.DateTimeField(source="created_at")


class ApplicationWithKeysSerializer(ApplicationSerializer):
    """An application as it is told once, with its keys from the context."""

    writeKey = serializers.SerializerMethodField(help_text="The secret, shown this once.")
    readKey = serializers.SerializerMethodField(help_text="The secret, shown this once.")

    def get_writeKey(self, application: Application) -> str:
        return self._keys.write

    def get_readKey(self, application: Application) -> str:
        return self._keys.read

    @property
    def _keys(self) -> Keys:
        keys: Keys = self.context["keys"]
        return keys


@extend_schema_serializer(many=False)  # or it would be described as a list of these
class ApplicationListSerializer(serializers.Serializer[Any]):
    applications = ApplicationSerializer(many=True)


class ApplicationKeysSerializer(serializers.Serializer[Any]):
    application = ApplicationWithKeysSerializer()
    message = serializers.CharField(help_text="A stable key.")
