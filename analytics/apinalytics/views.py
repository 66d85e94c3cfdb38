"""APInalytics: events are sent with the write key, time series are read with the read key; owners export events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.applications import find_application
from accounts.authentication import ApplicationAuthentication, caller
from accounts.models import Application, ApplicationKey
from accounts.permissions import CanReadEvents, CanWriteEvents
from analytics.apinalytics import ingest_columns, params, reads
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from fonproxy.api.docs import problems, shape
from fonproxy.api.exports import streamed
from fonproxy.api.params import InstantField, Params
from fonproxy.timerange import InvalidTime, Range, ceil

EVENT: Final = shape(
    "Event",
    timestamp=serializers.IntegerField(help_text="Seconds since 1970."),
    consumer_id=serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=255),
    method=serializers.CharField(max_length=255),
    url=serializers.CharField(max_length=8192, help_text="Values of parameters like token or password are not stored."),
    function=serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=255, default=ingest_columns.UNKNOWN_FUNCTION
    ),
    response_us=serializers.FloatField(min_value=0, max_value=2**44, help_text="Rounded to a whole number."),
    status_code=serializers.IntegerField(min_value=0, max_value=999),
)
SERIES: Final = shape(
    "TimeSeries",
    groups=serializers.DictField(
        child=serializers.ListField(child=serializers.ListField(child=serializers.FloatField(allow_null=True))),
        help_text="Points as `[seconds, value]`, by group; without a group by the application's id.",
    ),
    start=serializers.IntegerField(),
    end=serializers.IntegerField(),
    granularity=serializers.IntegerField(help_text="Milliseconds."),
)
ERROR: Final = shape("ApinalyticsError", error=serializers.CharField())
SECOND: Final = timedelta(seconds=1)
POSITION: Final = re.compile("[0-9]{1,10}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COLUMNS: Final = ("group", "timestamp", "value")


def application_of(request: Request) -> Application:
    """The application of the key. A permission class has checked that there is one."""
    assert isinstance(request.auth, ApplicationKey)
    return request.auth.application


class EventViewSet(ViewSet):
    authentication_classes = [ApplicationAuthentication]
    permission_classes = [CanWriteEvents]
    throttle_classes = []

    @extend_schema(
        tags=["APInalytics"],
        operation_id="apinalytics_send",
        request=EVENT(many=True),
        parameters=[*ingest_service.HEADERS],
        responses={
            200: OpenApiResponse(OpenApiTypes.OBJECT, description="Stored; an empty object."),
            **problems(400, 401, 403, 409, 413, 415, 429, 503, shape=ERROR),
        },
    )
    def send(self, request: Request) -> Response:
        """Stores at most 10,000 events of the application: 200 means they are durable and counted exactly once."""
        application = application_of(request)
        parse = partial(_parse, application)
        headers = ingest_service.ingest(request, IngestBatch.Route.EVENTS, parse, scope=application.published_id)
        return Response({}, headers=headers)


def _parse(application: Application, body: bytes, now: Any) -> Any:
    return ingest_columns.to_columns(body, application, now)


PERIOD: Final = (
    OpenApiParameter("start", int, "path", description="Seconds since 1970, inclusive."),
    OpenApiParameter("end", int, "path", description="Seconds since 1970, exclusive."),
)


class SeriesViewSet(ViewSet):
    """Time series of one application."""

    csv_columns = COLUMNS
    csv_name = "timeseries"

    def csv_rows(self, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        return (
            dict(zip(COLUMNS, (group, time, value), strict=True))
            for group, points in data["groups"].items()
            for time, value in points
        )

    def series(self, request: Request, application: Application, start: str, end: str) -> Response:
        given = params.read(start, end, request.query_params)
        answer = reads.series(application, given, timezone.now())
        return Response(answer.body, headers={"X-Groups-Left-Out": "true"} if answer.is_cut else None)


class TimeSeriesViewSet(SeriesViewSet):
    authentication_classes = [ApplicationAuthentication]
    permission_classes = [CanReadEvents]

    @extend_schema(
        tags=["APInalytics"],
        operation_id="apinalytics_timeseries",
        parameters=[*PERIOD, params.SeriesParams, params.INCLUDE],
        responses={200: SERIES, **problems(400, 401, 403, 422, 429, 503, shape=ERROR)},
    )
    def retrieve(self, request: Request, start: str, end: str) -> Response:
        """A time series over the application's events, or one per group; groups beyond the largest are `__other__`."""
        return self.series(request, application_of(request), start, end)


class OwnTimeSeriesViewSet(SeriesViewSet):
    """The same for the application's owner, with the credentials of the other APIs."""

    @extend_schema(
        tags=["Applications"],
        operation_id="applications_timeseries",
        parameters=[OpenApiParameter("id", location="path"), *PERIOD, params.SeriesParams, params.INCLUDE],
        responses={200: SERIES, **problems(400, 401, 403, 404, 422, 429, 503)},
    )
    def retrieve(self, request: Request, id: str, start: str, end: str) -> Response:
        """A time series over one of your applications, the same as `/1/timeseries` with its read key."""
        return self.series(request, find_application(caller(request).pk, id), start, end)


@extend_schema_field(str)
class PositionField(serializers.Field[reads.Position, str, str, Any]):
    def to_internal_value(self, data: str) -> reads.Position:
        if not POSITION.fullmatch(data) or int(data.partition("-")[0]) >= 2**32:
            raise serializers.ValidationError("Is not a cursor of an export.")
        timestamp, _, event_id = data.partition("-")
        return reads.Position(int(timestamp), event_id)

    def to_representation(self, value: reads.Position) -> str:
        return str(value)


class ExportParams(Params):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": InstantField(required=False, help_text="Default: the oldest stored event."),
            "to": InstantField(
                required=False, help_text="Exclusive; a date includes that day. Default: the newest event."
            ),
            "cursor": PositionField(
                required=False, help_text="The cursor of the last line received; the export continues after it."
            ),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Rounds ``since`` and ``before`` to the whole seconds of events."""
        start, end = attrs.get("from"), attrs.get("to")
        try:
            if start and end:
                Range.between(start, end)
        except InvalidTime as fault:
            raise serializers.ValidationError({"to": [str(fault)]}) from None
        return {
            **({"since": ceil(start.at, SECOND)} if start else {}),
            **({"before": ceil(end.end, SECOND)} if end else {}),
            **({"after": attrs["cursor"]} if "cursor" in attrs else {}),
        }


class ExportViewSet(ViewSet):
    @extend_schema(
        tags=["Applications"],
        operation_id="applications_export",
        parameters=[ExportParams, OpenApiParameter("id", location="path")],
        responses={
            (200, "application/x-ndjson"): OpenApiTypes.STR,
            **problems(400, 401, 403, 404, 429, 503),
        },
    )
    def retrieve(self, request: Request, id: str) -> StreamingHttpResponse:
        """All events of one of your applications, one JSON object per line, ordered by time.

        After an interrupted download keep the complete lines, and continue with the `cursor` of the last one.
        """
        application = find_application(caller(request).pk, id)
        given = ExportParams.read(request.query_params)
        lines = reads.export(application, given.get("since"), given.get("before"), timezone.now(), given.get("after"))
        return streamed(caller(request).pk, lines, "application/x-ndjson", f"{id}.ndjson")
