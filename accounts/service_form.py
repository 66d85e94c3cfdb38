"""An admin form that saves through the service the APIs use."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django import forms
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from fonproxy.api.errors import ApiProblem

Row = TypeVar("Row", bound=Model)


class ServiceForm(forms.ModelForm[Row]):
    """A form that leaves saving to the service which the APIs use, and shows what it refuses."""

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if self.errors:
            return given
        try:
            with transaction.atomic():  # tried, and taken back: so that the form can say what is wrong
                self.apply("", timezone.now())
                transaction.set_rollback(True)
        except ApiProblem as refusal:
            raise forms.ValidationError(str(refusal)) from None
        return given

    def apply(self, author: str, now: datetime) -> Row:
        """Does what the form asks for; raises ApiProblem."""
        raise NotImplementedError
