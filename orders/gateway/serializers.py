"""Bodies and answers of `/gateway/authorize`, `/gateway/logins` and their RADIUS and gost forms."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from fonproxy.api.params import Params, TextField, WholeNumberField
from orders.gateway.decision import RefusalReason
from orders.models import CutOff

MAX_LOGINS: Final = 10_000


class _AnyText(TextField):
    """Text of any length and content: clients of proxies choose it, and a gateway needs a decision, not an error."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, allow_blank=True, **kwargs)
        self.validators.clear()


class AuthorizeBody(serializers.Serializer[Any]):
    login = _AnyText()
    password = _AnyText(
        required=False,
        allow_null=True,
        default=None,
        help_text="Omit it for a login that has signed in already; then no password is checked.",
    )
    clientIp = _AnyText(required=False, default="", help_text="The client's address.")
    target = _AnyText(required=False, default="", help_text="The target of the request; not used yet.")
    worker = _AnyText(required=False, default="", help_text="The proxy server's name.")


class AllowedAnswer(serializers.Serializer[Any]):
    allowed = serializers.BooleanField(help_text="true")
    login = serializers.CharField()
    orderId = serializers.CharField()
    bytesLeft = serializers.IntegerField(allow_null=True, help_text="null: the order has no limit.")
    cacheSeconds = serializers.IntegerField(help_text="How long the gateway may cache the answer.")


class DeniedAnswer(serializers.Serializer[Any]):
    allowed = serializers.BooleanField(help_text="false")
    reason = serializers.ChoiceField(choices=RefusalReason.choices)


class LoginParams(Params):
    since = WholeNumberField(
        required=False,
        default=0,
        min_value=0,
        help_text="The cursor of the previous response; without it all logins are listed.",
    )
    limit = WholeNumberField(required=False, default=1000, min_value=1, max_value=MAX_LOGINS)


class LoginSerializer(serializers.Serializer[Any]):
    login = serializers.CharField()
    orderId = serializers.CharField(source="order_id", allow_null=True)
    verifier = serializers.CharField(allow_null=True, help_text="bcrypt in crypt(3) form; null without a password.")
    allowedIps = serializers.ListField(child=serializers.CharField(), source="allowed_ips", help_text="None: any.")
    maxConnections = serializers.IntegerField(source="max_connections", allow_null=True)
    state = serializers.ChoiceField(choices=CutOff.State.choices, allow_null=True)
    stopped = serializers.BooleanField(help_text="Refuse it, and end its connections.")
    deleted = serializers.BooleanField(help_text="Forget it.")


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class LoginsAnswer(serializers.Serializer[Any]):
    logins = LoginSerializer(many=True)
    cursor = serializers.CharField(help_text="Send it as `since` in the next call.")
    hasMore = serializers.BooleanField(source="has_more")
    reset = serializers.BooleanField(help_text="Drop all known logins: this response starts from the beginning.")


class GostAuthBody(serializers.Serializer[Any]):
    username = _AnyText(required=False, default="")
    password = _AnyText(required=False, default="")
    client = _AnyText(required=False, default="", help_text="The client's address and port.")


class GostAuthAnswer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    id = serializers.CharField(required=False)
