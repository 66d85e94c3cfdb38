"""The customer's applications: list, new application, charts, rotation of keys."""

from __future__ import annotations

import shlex
from typing import Any

from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView
from rest_framework.serializers import Serializer

from accounts import applications
from accounts.models import Application, Role
from accounts.serializers import NewApplicationSerializer
from dashboard.forms import BodyForm, FormPage, Secret, show_once
from dashboard.pages import CustomerPage, ProvedPage
from dashboard.rotation import RotationForm

LEAD = _("Servers send events with the write key. Programs query time series with the read key.")


def _secrets(application: Application, keys: applications.Keys) -> list[Secret]:
    return [
        (_("Application ID (X-Auth-User)"), application.published_id),
        (_("Write key (X-Auth-Key)"), keys.write),
        (_("Read key (X-Auth-Key)"), keys.read),
    ]


class ApplicationForm(BodyForm):
    name = forms.CharField(label=_("Name"), help_text=_("The API whose calls you report."))

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return NewApplicationSerializer(data=cleaned)


class ApplicationsPage(ProvedPage, FormPage):
    template_name = "dashboard/applications.html"
    write_role = Role.OWNER

    def form(self, data: Any = None) -> BodyForm:
        return ApplicationForm(data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(applications=applications.applications_of(self.customer.pk), **kwargs)

    def save(self, form: BodyForm) -> HttpResponseBase:
        now = timezone.now()
        with transaction.atomic():
            application, keys = applications.create(self.customer, form.given["name"], now)
            self.record("application created", now)
        heading = gettext("Application “%s” created") % application.name
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


class RotateApplicationPage(ProvedPage, FormPage):
    template_name = "dashboard/confirm.html"
    read_role = write_role = Role.OWNER

    def form(self, data: Any = None) -> BodyForm:
        return RotationForm(data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        application = applications.find_application(self.customer.pk, self.kwargs["id"])
        return super().get_context_data(
            heading=gettext("Rotate the keys of “%s”?") % application.name,
            lead=_("You get a new write key and a new read key. Stored events are not affected."),
            button=_("Rotate keys"),
            back=reverse("application", args=[application.published_id]),
            **kwargs,
        )

    def save(self, form: BodyForm) -> HttpResponseBase:
        application = applications.find_application(self.customer.pk, self.kwargs["id"])
        now = timezone.now()
        with transaction.atomic():
            keys = applications.rotate_keys(application, now, **form.given)
            self.record("application keys rotated", now)
        heading = gettext("New keys of “%s”") % application.name
        back = reverse("application", args=[application.published_id])
        return show_once(self.request, heading, LEAD, _secrets(application, keys), back)
