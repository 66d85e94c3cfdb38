"""The page behind the link in every alert mail. Mail programs may post to it without showing it (RFC 8058)."""

from __future__ import annotations

from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from accounts.models import Order
from usage.alerts import mail
from usage.models import Unsubscription


# The signed link is what allows it; nobody's session is involved.
@method_decorator(csrf_exempt, name="dispatch")
class UnsubscribeView(View):
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self._page(request, token, is_done=False)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        return self._page(request, token, is_done=True)

    def _page(self, request: HttpRequest, token: str, *, is_done: bool) -> HttpResponse:
        try:
            order_id, address = mail.read_token(token)
        except BadSignature:
            order_id, address = 0, ""
        order = Order.objects.filter(pk=order_id).first()
        if order is None:
            return render(request, "alerts/unsubscribe.html", {"address": ""}, status=404)
        if is_done:
            Unsubscription.objects.get_or_create(order=order, address=address)
        return render(request, "alerts/unsubscribe.html", {"address": address, "is_done": is_done})
