"""The WSGI entry point, of ``manage.py serve`` and of other servers."""

from __future__ import annotations

import os
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fonproxy.settings")


class Utf8Request(WSGIRequest):
    """Text is UTF-8, whatever charset a request names: Django would decode with any codec of Python's, such as hex."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


application: WSGIHandler = get_wsgi_application()
application.request_class = Utf8Request
