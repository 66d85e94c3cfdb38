"""Bodies of the routes for cumulative counters of proxy servers, for the OpenAPI description."""

from __future__ import annotations

from typing import Final

from rest_framework import serializers

from analytics.gateway.samples import MAX_SAMPLES
from analytics.ingest.schema import MAX_AMOUNT
from fonproxy.api.docs import shape

Sample: Final = shape(
    "SessionSample",
    session=serializers.CharField(max_length=128, help_text="The connection's id at its proxy server."),
    login=serializers.CharField(max_length=255),
    worker=serializers.CharField(max_length=255, allow_blank=True, help_text="The proxy server's name."),
    startedAt=serializers.DateTimeField(help_text="Distinguishes connections with the same name."),
    ended=serializers.BooleanField(default=False),
    bytesSent=serializers.IntegerField(
        min_value=0, max_value=MAX_AMOUNT, help_text="Received from the customer since the start."
    ),
    bytesReceived=serializers.IntegerField(
        min_value=0, max_value=MAX_AMOUNT, help_text="Sent to the customer since the start."
    ),
    requests=serializers.IntegerField(
        min_value=0, max_value=2**32, default=1, help_text="Requests since the start; a connection is one."
    ),
    domain=serializers.CharField(max_length=255, allow_blank=True, default=""),
    ipFrom=serializers.CharField(max_length=255, allow_blank=True, default="", help_text="The client's address."),
)
Samples: Final = shape("SessionSamples", samples=serializers.ListField(child=Sample(), max_length=MAX_SAMPLES))
Ok: Final = shape("GostObserved", ok=serializers.BooleanField())
