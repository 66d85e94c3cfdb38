"""Routes of the ledgers and summaries; they hang at two places, see ``usage.urls``."""

from __future__ import annotations

from django.urls import path

from usage.ledgers import views

urlpatterns = [
    path("residential_ledger/search", views.ResidentialLedgerViewSet.as_view({"get": "list"})),
    path("residential_ledger/retrieve/<str:id>", views.ResidentialLedgerViewSet.as_view({"get": "retrieve"})),
    path("residential/summary", views.ResidentialSummaryViewSet.as_view({"get": "retrieve"})),
    path("mobile_ledger/search", views.MobileLedgerViewSet.as_view({"get": "list"})),
    path("mobile_ledger/retrieve/<str:id>", views.MobileLedgerViewSet.as_view({"get": "retrieve"})),
    path("mobile/summary", views.MobileSummaryViewSet.as_view({"get": "retrieve"})),
]
