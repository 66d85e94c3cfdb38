"""The unsubscribe page, which asks for confirmation. Mail programs may post to it directly (RFC 8058)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ObjectDoesNotExist
from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt

from fonproxy.pages import Page


# Authorized by the signed link, not by a session.
@method_decorator(csrf_exempt, name="dispatch")
class UnsubscribePage(Page):
    http_method_names = ["get", "head", "post"]
    template_name: ClassVar[str]

    def follow(self, token: str, *, unsubscribe: bool) -> dict[str, Any]:
        """Unsubscribes on POST; returns the context of the template.

        Raises BadSignature or ObjectDoesNotExist when the link is invalid.
        """
        raise NotImplementedError

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self._page(request, token, unsubscribe=False)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        return self._page(request, token, unsubscribe=True)

    def _page(self, request: HttpRequest, token: str, *, unsubscribe: bool) -> HttpResponse:
        try:
            context = self.follow(token, unsubscribe=unsubscribe)
        except (BadSignature, ObjectDoesNotExist):
            return render(request, self.template_name, {"is_invalid": True}, status=404)
        return render(request, self.template_name, {"is_done": unsubscribe, **context})
