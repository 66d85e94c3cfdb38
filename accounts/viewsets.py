"""The base of every view of the tracking API."""

from __future__ import annotations

from rest_framework.viewsets import ViewSet

from accounts.authentication import KeyPairAuthentication


class TrackingViewSet(ViewSet):
    """Its clients send a pair of keys; the credentials of the other APIs work as well."""

    authentication_classes = [KeyPairAuthentication, *ViewSet.authentication_classes]
