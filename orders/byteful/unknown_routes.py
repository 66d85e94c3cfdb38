"""All paths under Byteful's long prefix that no app serves."""

from __future__ import annotations

from django.urls import path

from orders.byteful.family import PREFIXES, UnknownRouteView

urlpatterns = [path(f"{PREFIXES[1]}{rest}", UnknownRouteView.as_view()) for rest in ("", "<path:rest>")]
