"""Signals of the orders app."""

from __future__ import annotations

from django.dispatch import Signal

order_opened = Signal()
"""Sent in the transaction that creates an order, with ``order`` and ``now``."""
