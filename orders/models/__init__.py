"""Models of products, orders and proxy users, one module for each subject."""

from orders.models.cut_offs import BlockedLogin, CutOff, CutOffCounter, ErasedOrder
from orders.models.erasure import Erasure
from orders.models.events import (
    DELIVERED_TYPES,
    TEST,
    EventDelivery,
    EventMark,
    EventType,
    ProviderEvent,
    WebhookEndpoint,
)
from orders.models.fields import MAX_LIMIT_BYTES, without_control_characters
from orders.models.ledger import LedgerEntry, LedgerMismatch, LedgerReason
from orders.models.orders import Order, OrderStatus, has_expired, has_limit, is_suspended, validate_zone
from orders.models.products import Network, Product, ProxyType
from orders.models.proxy_users import ProxyUser, RemovedLogin
from orders.models.sessions import SESSION_SILENCE, ProxySession

__all__ = [
    "DELIVERED_TYPES",
    "MAX_LIMIT_BYTES",
    "SESSION_SILENCE",
    "TEST",
    "BlockedLogin",
    "CutOff",
    "CutOffCounter",
    "ErasedOrder",
    "Erasure",
    "EventDelivery",
    "EventMark",
    "EventType",
    "LedgerEntry",
    "LedgerMismatch",
    "LedgerReason",
    "Network",
    "Order",
    "OrderStatus",
    "Product",
    "ProviderEvent",
    "ProxySession",
    "ProxyType",
    "ProxyUser",
    "RemovedLogin",
    "WebhookEndpoint",
    "has_expired",
    "has_limit",
    "is_suspended",
    "validate_zone",
    "without_control_characters",
]
