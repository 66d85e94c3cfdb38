"""A row in every table of the relational store, for tests of copies of all of it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import models

from fonproxy.move import relational

# A field's class, and a value for it; the first match counts.
VALUES: Final[tuple[tuple[type[models.Field[Any, Any]], object], ...]] = (
    (models.DateTimeField, datetime.fromisoformat("2026-11-01T12:00:00+00:00")),
    (models.DateField, date(2026, 11, 1)),
    (models.BooleanField, True),
    (models.DecimalField, Decimal(1)),
    (models.IntegerField, 1),
    (models.FloatField, 1.0),
    (models.JSONField, {}),
    (models.BinaryField, b"1"),
    (models.GenericIPAddressField, "192.0.2.1"),
    (models.UUIDField, UUID(int=1)),
    (models.CharField, "x"),
    (models.TextField, "x"),
)


def fill() -> None:
    """Adds a row to every table that has none."""
    for model in relational.tables():
        _row_of(model)


def _row_of(model: type[models.Model]) -> models.Model:
    if found := model._base_manager.first():
        return found
    # Neither `save` nor its signals matter for what is copied.
    given = {
        field.name: _value_of(field)
        for field in model._meta.concrete_fields
        if not (isinstance(field, models.AutoField) or field.has_default() or field.null)
    }
    model._base_manager.bulk_create([model(**given)])
    return model._base_manager.get()


def _value_of(field: models.Field[Any, Any]) -> object:
    if field.related_model:
        return _row_of(field.related_model)
    if field.choices:
        return field.flatchoices[0][0]
    return next(value for kind, value in VALUES if isinstance(field, kind))
