"""The answer to OPTIONS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request

if TYPE_CHECKING:  # the views read this module by name from the settings, while they are being imported
    from rest_framework.views import APIView


class AllowOnly(BaseMetadata):
    """No body: the header ``Allow``, which every answer of a view has, names its methods."""

    def determine_metadata(self, request: Request, view: APIView) -> None:
        return None
