"""Routes of the usage app."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("", include("usage.provisioning.urls"))]
