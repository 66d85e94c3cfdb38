"""The form that asks what becomes of old keys when new ones are made."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from rest_framework.serializers import Serializer

from accounts.serializers import RotationSerializer
from dashboard.forms import BodyForm


class RotationForm(BodyForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hours = settings.KEY_GRACE_HOURS
        later = ngettext("Keep them valid for another %s hour", "Keep them valid for another %s hours", hours) % hours
        at_once = gettext("Revoke them now (if a key leaked)")
        self.fields["immediately"] = forms.ChoiceField(
            label=_("Old keys"),
            choices=[("false", later), ("true", at_once)],
            initial="false",
            widget=forms.RadioSelect,
        )

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return RotationSerializer(data=cleaned)
