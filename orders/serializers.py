"""Bodies and responses of `/orders` and `/proxy-users`."""

from __future__ import annotations

from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from fonproxy.api.params import BoundedListField, IdField, Params, StrictIntegerField, TextField
from orders.addresses import MAX_NETWORKS, InvalidNetwork, normalized
from orders.models import MAX_LIMIT_BYTES, Network, Order, OrderStatus, ProxyType, ProxyUser
from orders.passwords import PASSWORD, RULE
from orders.periods import Every, RecurringPeriod


class OrderParams(Params):
    userId = IdField(required=False, default=None, help_text="Staff only: whose orders.")


class PasswordField(TextField):
    """A new password of a proxy user."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, write_only=True, **kwargs)
        self.validators.append(RegexValidator(f"^(?:{PASSWORD.pattern})\\Z", RULE))


class NetworksField(BoundedListField):
    """Addresses and networks, as networks in canonical form."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=TextField(max_length=64), max_length=MAX_NETWORKS, **kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        try:
            return normalized(super().to_internal_value(data))
        except InvalidNetwork as fault:
            raise serializers.ValidationError(str(fault)) from None


class LimitField(StrictIntegerField):
    """Bytes, or null for no limit. 0 is refused, because it could mean no limit or nothing at all."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_LIMIT_BYTES, allow_null=True, required=False, **kwargs)


class LimitsBody(serializers.Serializer[Any]):
    """Bytes of both directions; null: no limit; missing fields stay unchanged."""

    dayBytes = LimitField(help_text="Resets at the end of the day.")
    monthBytes = LimitField(help_text="Resets at the end of the month.")
    totalBytes = LimitField(help_text="Never resets.")


class LoginBytesSerializer(serializers.Serializer[Any]):
    """Bytes of both directions in a day, in a month and in total."""

    dayBytes = serializers.IntegerField(source="day", allow_null=True)
    monthBytes = serializers.IntegerField(source="month", allow_null=True)
    totalBytes = serializers.IntegerField(source="total", allow_null=True)


class ProxyUserSettings(serializers.Serializer[Any]):
    """The settings of a proxy user that both the provider and the customer may change."""

    password = PasswordField(required=False)
    allowedIps = NetworksField(required=False, help_text="Addresses and networks of clients; none means any.")
    limits = LimitsBody(required=False, help_text="Only the login that reaches a limit is stopped.")


class ProxyUserPatch(ProxyUserSettings):
    password = PasswordField(
        required=False, allow_null=True, help_text="null: generate one; only this response contains it."
    )


class ProxyUserSerializer(serializers.Serializer[ProxyUser]):
    """A login as its owner sees it."""

    id = serializers.CharField(source="published_id")
    login = serializers.CharField()
    orderId = serializers.CharField(source="order.published_id")
    hasPassword = serializers.BooleanField(source="has_password")
    allowedIps = serializers.ListField(child=serializers.CharField(), source="allowed_ips")
    maxConnections = serializers.IntegerField(source="max_connections", allow_null=True)
    limits = LoginBytesSerializer()
    stoppedUntil = serializers.SerializerMethodField(
        help_text="While a limit is reached, the time when it resets; the year 9999 for a total limit."
    )
    createdAt = serializers.DateTimeField(source="created_at")

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_stoppedUntil(self, user: ProxyUser) -> str | None:
        until = user.stopped_until if user.is_stopped(self.context["now"]) else None
        return None if until is None else serializers.DateTimeField().to_representation(until)


class UsedProxyUserSerializer(ProxyUserSerializer):
    """The same with its usage; the context holds ``used``, a mapping by primary key."""

    used = serializers.SerializerMethodField(
        help_text="In the current day and month in the order's time zone, and in total."
    )

    @extend_schema_field(LoginBytesSerializer)
    def get_used(self, user: ProxyUser) -> dict[str, Any]:
        return LoginBytesSerializer(self.context["used"][user.pk]).data


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class ProxyUserListSerializer(serializers.Serializer[Any]):
    proxyUsers = UsedProxyUserSerializer(many=True)


class ProxyUserAnswer(serializers.Serializer[Any]):
    proxyUser = ProxyUserSerializer()
    password = serializers.CharField(required=False, help_text="The generated password, shown only here.")


class PeriodSerializer(serializers.Serializer[RecurringPeriod]):
    """When an order renews automatically."""

    every = serializers.ChoiceField(choices=Every.choices)
    anchor = serializers.DateField()
    timezone = serializers.CharField()
    rollover = serializers.BooleanField()


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
    period = PeriodSerializer(allow_null=True)
    renewsAt = serializers.DateTimeField(source="next_renewal", allow_null=True)

    @extend_schema_field(serializers.ChoiceField(choices=OrderStatus.choices))
    def get_status(self, order: Order) -> str:
        return order.status(self.context["now"]).value


@extend_schema_serializer(many=False)  # otherwise the schema would be a list of these
class OrderListSerializer(serializers.Serializer[Any]):
    orders = OrderSerializer(many=True)
