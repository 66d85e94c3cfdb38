"""Bodies and responses of the account routes. Names are camel case, as published."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from accounts.applications import Keys
from accounts.models import ApiKey, Application, Scope
from fonproxy.api.params import BoundedListField, ExpiryField, TextField


class ScopeField(serializers.ChoiceField):
    """One scope. The message does not repeat the input, which may be text that a response cannot contain."""

    default_error_messages = {"invalid_choice": f"Must be one of {', '.join(Scope.values)}."}

    def __init__(self) -> None:
        super().__init__(choices=Scope.choices)


class TokenRequestSerializer(serializers.Serializer[Any]):
    username = TextField(max_length=150, trim_whitespace=False)
    password = TextField(trim_whitespace=False, style={"input_type": "password"})
    otp = TextField(
        default="", max_length=40, help_text="A code of the account's second factor, or a recovery code, if it has one."
    )


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class RefreshRequestSerializer(serializers.Serializer[Any]):
    refresh = TextField()


class NewKeySerializer(serializers.Serializer[Any]):
    """The body of a key's creation; the context holds ``now``."""

    name = TextField(max_length=100)
    scopes = BoundedListField(child=ScopeField(), max_length=len(Scope), allow_empty=False, default=[Scope.READ.value])
    expiresAt = ExpiryField(
        required=False, allow_null=True, default=None, help_text="ISO 8601; a date means the whole of that day."
    )

    def validate_expiresAt(self, value: datetime | None) -> datetime | None:
        if value is not None and value <= self.context["now"]:
            raise serializers.ValidationError("Must be in the future.")
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
    """A new key with its secret, which is shown once and comes from the context."""

    key = serializers.SerializerMethodField(help_text="The secret, shown only here.")

    def get_key(self, key: ApiKey) -> str:
        secret: str = self.context["secret"]
        return secret


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class KeyListSerializer(serializers.Serializer[Any]):
    apiKeys = ApiKeySerializer(many=True)


class KeyCreatedSerializer(serializers.Serializer[Any]):
    apiKey = IssuedKeySerializer()
    message = serializers.ChoiceField(choices=["api_key.created"])


class NewApplicationSerializer(serializers.Serializer[Any]):
    name = TextField(max_length=100)


class RotationSerializer(serializers.Serializer[Any]):
    immediately = serializers.BooleanField(
        default=False,
        help_text="End the old keys at once, for example after a leak; otherwise they keep working for a while.",
    )


class ApplicationSerializer(serializers.Serializer[Application]):
    id = serializers.CharField(source="published_id", help_text="Sent as X-Auth-User.")
    name = serializers.CharField()
    createdAt = serializers.DateTimeField(source="created_at")


class ApplicationWithKeysSerializer(ApplicationSerializer):
    """A new application with its keys, which are shown once and come from the context."""

    writeKey = serializers.SerializerMethodField(help_text="The secret, shown only here.")
    readKey = serializers.SerializerMethodField(help_text="The secret, shown only here.")

    def get_writeKey(self, application: Application) -> str:
        return self._keys.write

    def get_readKey(self, application: Application) -> str:
        return self._keys.read

    @property
    def _keys(self) -> Keys:
        keys: Keys = self.context["keys"]
        return keys


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class ApplicationListSerializer(serializers.Serializer[Any]):
    applications = ApplicationSerializer(many=True)


class ApplicationKeysSerializer(serializers.Serializer[Any]):
    application = ApplicationWithKeysSerializer()
    message = serializers.CharField(help_text="A stable key.")
