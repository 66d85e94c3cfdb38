"""The response to OPTIONS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request

if TYPE_CHECKING:  # The settings name this module for the views, which are being imported at that time.
    from rest_framework.views import APIView


class AllowOnly(BaseMetadata):
    """No body: the header ``Allow``, which every response of a view has, lists its methods."""

    def determine_metadata(self, request: Request, view: APIView) -> None:
        return None
