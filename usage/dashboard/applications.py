"""The customer's applications: what there is, a new one, its charts, other keys."""

from __future__ import annotations

import shlex
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView
from rest_framework.serializers import Serializer

from accounts import applications
from accounts.models import Application
from accounts.serializers import NewApplicationSerializer, RotationSerializer
from usage.dashboard.forms import BodyForm, FormPage, Secret, show_once
from usage.dashboard.pages import CustomerPage

LEAD = _("Servers send events with the write key; whoever asks for time series uses the read key.")


def _secrets(application: Application, keys: applications.Keys) -> list[Secret]:
    return [
        (_("Application id (X-Auth-User)"), application.published_id),
        (_("Write key (X-Auth-Key)"), keys.write),
        (_("Read key (X-Auth-Key)"), keys.read),
    ]


class ApplicationForm(BodyForm):
    name = forms.CharField(label=_("Name"), help_text=_("Of the API whose calls you will report."))

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return NewApplicationSerializer(data=cleaned)


class ApplicationsPage(FormPage):
    template_name = "dashboard/applications.html"

    def form(self, data: Any = None) -> BodyForm:
        return ApplicationForm(data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(applications=applications.applications_of(self.customer.pk), **kwargs)

    def save(self, form: BodyForm) -> HttpResponseBase:
        application, keys = applications.create(self.customer, form.given["name"], timezone.now())
        heading = gettext("The application “%s” is made") % application.name
        back = reverse("application", args=[application.published_id])
        return show_once(self.request, heading, LEAD, _secrets(application, keys), back)


class ApplicationPage(CustomerPage, TemplateView):
    template_name = "dashboard/application.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        application = applications.find_application(self.customer.pk, kwargs["id"])
        keys = [key for key in application.keys.order_by("-created_at", "-pk") if not key.ends_at or key.ends_at > now]
        address = shlex.quote(f"{settings.PUBLIC_URL}/1/event/")
        return super().get_context_data(application=application, keys=keys, address=address, **kwargs)


class RotationForm(BodyForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hours = settings.KEY_GRACE_HOURS
        later = ngettext("Let them work for another %s hour", "Let them work for another %s hours", hours) % hours
        at_once = gettext("End them at once, because one leaked")
        self.fields["immediately"] = forms.ChoiceField(
            label=_("The old keys"),
            choices=[("false", later), ("true", at_once)],
            initial="false",
            widget=forms.RadioSelect,
        )

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return RotationSerializer(data=cleaned)


class RotateApplicationPage(FormPage):
    template_name = "dashboard/confirm.html"

    def form(self, data: Any = None) -> BodyForm:
        return RotationForm(data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        application = applications.find_application(self.customer.pk, self.kwargs["id"])
        return super().get_context_data(
            heading=gettext("Exchange the keys of “%s”?") % application.name,
            lead=_("You get a new write key and a new read key. The events stay as they are."),
            button=_("Exchange them"),
            back=reverse("application", args=[application.published_id]),
            **kwargs,
        )

    def save(self, form: BodyForm) -> HttpResponseBase:
        application = applications.find_application(self.customer.pk, self.kwargs["id"])
        keys = applications.rotate_keys(application, timezone.now(), **form.given)
        heading = gettext("The new keys of “%s”") % application.name
        back = reverse("application", args=[application.published_id])
        return show_once(self.request, heading, LEAD, _secrets(application, keys), back)
