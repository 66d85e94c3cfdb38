"""Django's registration of the app, and of the admin with the console's site."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps  # importing its class by name would register a second default here


class ConsoleConfig(AppConfig):
    name = "console"
    default = True


class ConsoleAdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "console.site.ConsoleSite"
