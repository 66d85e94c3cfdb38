"""Routes for a billing system."""

from __future__ import annotations

from django.urls import path

from usage.billing.views import BillingUsageViewSet

urlpatterns = [path("provisioning/usage", BillingUsageViewSet.as_view({"get": "list"}))]
