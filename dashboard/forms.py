"""Forms of the customer's pages, validated by the serializers of the APIs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.functional import Promise
from django.views.generic import TemplateView
from rest_framework.serializers import Serializer

from dashboard.pages import CustomerPage
from fonproxy.api.errors import ApiProblem, Conflict, InvalidInput

Secret = tuple[str | Promise, str]


class BodyForm(forms.Form):
    """A form that is the body of an API call: ``given`` is the data validated by that API's serializer."""

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        """The API's serializer for the entered data."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            body = self.body(cleaned)
            if not body.is_valid():
                for field, found in body.errors.items():
                    self.refuse(field, _sentences(found))
            self.given: dict[str, Any] = body.validated_data
        return cleaned

    def refuse(self, field: str, sentences: Iterable[str]) -> None:
        """Shows the errors beside their fields, or above the form for fields that it does not have."""
        self.add_error(field if field in self.fields else None, list(sentences))


def _sentences(found: Any) -> list[str]:
    """Errors of a field, including those of a list's items, which a serializer keys by position."""
    if isinstance(found, dict):
        return [f"{int(place) + 1}. {text}" for place, texts in found.items() for text in _sentences(texts)]
    return [str(text) for text in found]


class FormPage(CustomerPage, TemplateView):
    """A page with one form. Errors of the service are shown in the form, which keeps the input."""

    http_method_names = ["get", "head", "post"]

    def form(self, data: Any = None) -> BodyForm:
        raise NotImplementedError

    def save(self, form: BodyForm) -> HttpResponseBase:
        """Performs the change; returns a redirect, or a page that shows secrets once.

        May raise InvalidInput and Conflict.
        """
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"form": self.form(), **kwargs})

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        form = self.form(request.POST)
        if form.is_valid():
            try:
                return self.save(form)
            except (Conflict, InvalidInput) as refusal:
                _add_errors(form, refusal)
        return self.render_to_response(self.get_context_data(form=form))


def _add_errors(form: BodyForm, refusal: ApiProblem) -> None:
    for error in refusal.errors:
        form.refuse(error.field, [error.message])
    if not refusal.errors:
        form.add_error(None, str(refusal.detail))


def show_once(
    request: HttpRequest, heading: str | Promise, lead: str | Promise, secrets: Iterable[Secret], back: str
) -> HttpResponse:
    """The response to the form that created secrets.

    They are not stored, so browsers must not cache this page either.
    """
    context = {"heading": heading, "lead": lead, "secrets": secrets, "back": back}
    response = render(request, "dashboard/secrets.html", context)
    response["Cache-Control"] = "no-store"
    return response
