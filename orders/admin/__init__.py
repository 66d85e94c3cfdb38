"""Products, orders and proxy users for staff, one module for each subject."""

from orders.admin import webhooks  # noqa: F401  # registers its models
from orders.admin.cut_offs import CutOffAdmin
from orders.admin.ledger import LedgerEntryAdmin, LedgerMismatchAdmin
from orders.admin.orders import OrderAdmin
from orders.admin.products import ProductAdmin
from orders.admin.proxy_users import ProxyUserAdmin

__all__ = ["CutOffAdmin", "LedgerEntryAdmin", "LedgerMismatchAdmin", "OrderAdmin", "ProductAdmin", "ProxyUserAdmin"]
