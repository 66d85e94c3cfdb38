"""Whether saving a row would change it."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Model


def differs(row: Model, fields: Iterable[str]) -> bool:
    """Whether the stored row has another value in one of these fields; False when it is not stored."""
    stored = type(row)._default_manager.filter(pk=row.pk).values(*fields).first()
    return stored is not None and any(getattr(row, name) != value for name, value in stored.items())
