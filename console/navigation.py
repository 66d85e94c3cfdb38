"""The console's lists and pages by task. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Task(NamedTuple):
    """A group of the navigation. Models of ``apps`` that belong to no task are added to it."""

    slug: str
    title: Promise
    models: tuple[str, ...]
    apps: tuple[str, ...] = ()


class ConsolePage(NamedTuple):
    """A page that is not a model's list; shown to users with the permissions."""

    task: str
    title: Promise
    url_name: str
    permissions: tuple[str, ...]


TASKS: Final = (
    Task("customers", _("Customers"), ("accounts.User", "accounts.ApiKey", "accounts.Application"), ("accounts",)),
    Task("orders", _("Orders"), ("orders.Order", "orders.ProxyUser", "orders.Product"), ("orders", "usage")),
    Task("gateways", _("Gateways"), ("orders.CutOff", "analytics.AbuseReport")),
    Task("pipeline", _("Pipeline"), ("analytics.IngestBatch", "analytics.InsertBlock"), ("analytics",)),
    Task("pool", _("Pool"), ("geo.StaticIp", "geo.Multiplier", "geo.MultiplierChange", "geo.CountSnapshot"), ("geo",)),
    Task("money", _("Money"), ("orders.LedgerEntry", "orders.LedgerMismatch")),
    Task("audit", _("Audit"), ("admin.LogEntry", "accounts.AuditRecord", "auth.Group"), ("admin", "auth")),
)
CUSTOMERS_AND_ORDERS: Final = ("accounts.view_user", "orders.view_order")
NEW_CUSTOMER: Final = ("accounts.add_user", "orders.add_order")
ADDRESSES: Final = ("geo.view_staticip", *CUSTOMERS_AND_ORDERS)
PAGES: Final = (
    ConsolePage("customers", _("Who runs out"), "console_outlook", CUSTOMERS_AND_ORDERS),
    ConsolePage("customers", _("New customer"), "console_new_customer", NEW_CUSTOMER),
    ConsolePage("customers", _("Usage"), "console_usage", CUSTOMERS_AND_ORDERS),
    ConsolePage("gateways", _("Gateways"), "console_gateways", ("analytics.view_ingestbatch",)),
    ConsolePage(
        "gateways", _("Where traffic runs"), "console_origins", ("analytics.view_ingestbatch", "accounts.view_user")
    ),
    ConsolePage("gateways", _("Exit lookup"), "analytics_abusereport_add", ("analytics.add_abusereport",)),
    ConsolePage("pool", _("Who uses addresses"), "console_addresses", ADDRESSES),
    ConsolePage("pipeline", _("Unattributed traffic"), "analytics_unattributed", ("analytics.view_ingestbatch",)),
)


def by_task(apps: list[dict[str, Any]], pages: list[tuple[ConsolePage, str]]) -> list[dict[str, Any]]:
    """Django's list of apps as a list of tasks; ``pages`` are those that the user may see, with their URLs."""
    found = {f"{app['app_label']}.{model['object_name']}": model for app in apps for model in app["models"]}
    named = {name for task in TASKS for name in task.models}
    groups = []
    for task in TASKS:
        models = [found[name] for name in task.models if name in found]
        models += [model for name, model in found.items() if name not in named and name.partition(".")[0] in task.apps]
        entries = [_entry(page, url) for page, url in pages if page.task == task.slug]
        if models or entries:
            groups.append({"name": task.title, "app_label": task.slug, "models": [*entries, *models]})
    return groups


def _entry(page: ConsolePage, url: str) -> dict[str, Any]:
    """A page in the form of Django's model entries."""
    return {"name": page.title, "object_name": page.url_name, "admin_url": url, "add_url": None, "view_only": True}
