"""An admin form that saves through the same service as the APIs."""

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
    """A form that saves through the same service as the APIs, and shows its refusals as form errors."""

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if self.errors:
            return given
        try:
            with transaction.atomic():  # run once and rolled back, to report errors in the form
                self.apply("", timezone.now())
                transaction.set_rollback(True)
        except ApiProblem as refusal:
            raise forms.ValidationError(str(refusal)) from None
        return given

    def apply(self, author: str, now: datetime) -> Row:
        """Performs the change; raises ApiProblem."""
        raise NotImplementedError
