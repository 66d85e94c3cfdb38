"""The texts and formats of the pages' scripts."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import translation
from django.views.i18n import JavaScriptCatalog

from fonproxy.formats import LOCALES


class StringsCatalog(JavaScriptCatalog):
    """Of the language in the address: a browser may keep it, whatever its user chooses next."""

    http_method_names = ["get", "head"]
    packages = ["usage"]

    def get(self, request: HttpRequest, language: str) -> HttpResponse:
        if language not in LOCALES:
            raise Http404
        with translation.override(language):
            return super().get(request)
