"""The columns of the ingest body as a model and serializer; import only where :mod:`bench.orm` has set Django up."""

from __future__ import annotations

from typing import Any

from django.db import models
from rest_framework import serializers


class PushedRow(models.Model):
    """One aggregated row. Its only index is the primary key, which favours it."""

    ts = models.DateTimeField()
    user_id = models.BigIntegerField()
    order_id = models.BigIntegerField()
    port = models.PositiveIntegerField(default=0)
    protocol = models.CharField(max_length=255, blank=True)
    ip_out = models.CharField(max_length=255, blank=True)
    ip_from = models.CharField(max_length=255, blank=True)
    peer_id = models.CharField(max_length=255, blank=True)
    worker = models.CharField(max_length=255, blank=True)
    domain = models.CharField(max_length=255, blank=True)
    error = models.CharField(max_length=255, blank=True)
    count = models.PositiveBigIntegerField()
    bytes_sent = models.PositiveBigIntegerField(default=0)
    bytes_received = models.PositiveBigIntegerField(default=0)
    error_count = models.PositiveBigIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0)
    max_concurrency = models.PositiveBigIntegerField(default=0)

    class Meta:
        app_label = "bench"


class _BulkSerializer(serializers.ListSerializer[Any]):
    def create(self, validated_data: list[dict[str, Any]]) -> list[PushedRow]:
        return PushedRow._default_manager.bulk_create([PushedRow(**row) for row in validated_data])


class PushedRowSerializer(serializers.ModelSerializer[PushedRow]):
    class Meta:
        model = PushedRow
        exclude = ["id"]
        list_serializer_class = _BulkSerializer
