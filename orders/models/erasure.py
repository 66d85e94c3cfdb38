"""Orders whose ledger may be deleted."""

from __future__ import annotations

from django.db import models

from orders.models.orders import Order


class Erasure(models.Model):
    """An order whose ledger may be deleted, because its customer is being erased."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, primary_key=True, related_name="+")

    class Meta:
        db_table = "erasures"

    def __str__(self) -> str:
        return str(self.order_id)
