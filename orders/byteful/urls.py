"""Routes of the ledgers and summaries; ``orders.urls`` includes them under two prefixes."""

from __future__ import annotations

from django.urls import path

from orders.byteful import views

urlpatterns = [
    path("customer/retrieve", views.CustomerViewSet.as_view({"get": "retrieve"})),
    path("residential_ledger/search", views.ResidentialLedgerViewSet.as_view({"get": "list"})),
    path("residential_ledger/retrieve/<str:id>", views.ResidentialLedgerViewSet.as_view({"get": "retrieve"})),
    path("residential/summary", views.ResidentialSummaryViewSet.as_view({"get": "retrieve"})),
    path("mobile_ledger/search", views.MobileLedgerViewSet.as_view({"get": "list"})),
    path("mobile_ledger/retrieve/<str:id>", views.MobileLedgerViewSet.as_view({"get": "retrieve"})),
    path("mobile/summary", views.MobileSummaryViewSet.as_view({"get": "retrieve"})),
]
