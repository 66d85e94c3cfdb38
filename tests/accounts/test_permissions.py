from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import path
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.viewsets import ViewSet

from accounts.models import User
from accounts.permissions import CanFollowCutOff, CanIngest, CanProvision, CanReadMetrics, IsPerson, OwnData

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


class Guarded(ViewSet):
    required_permissions = {"ask": ("orders.view_order",), "change": ("orders.change_order",)}

    def ask(self, request: Request) -> Response:
        return Response()

    change = ask


def guarded(permission: type[BasePermission]) -> Callable[..., Any]:
    return Guarded.as_view({"get": "ask", "post": "change"}, permission_classes=[permission])


PERMISSIONS = {
    "own": OwnData,
    "ingest": CanIngest,
    "person": IsPerson,
    "provision": CanProvision,
    "feed": CanFollowCutOff,
    "metrics": CanReadMetrics,
}
urlpatterns = [path(name, guarded(permission)) for name, permission in PERMISSIONS.items()]

NOTHING: dict[str, str] = {}
EVERYTHING = dict.fromkeys(PERMISSIONS, "GET POST")
MATRIX = {
    "nobody": NOTHING,
    "customer": {"own": "GET POST", "person": "GET POST"},
    "customer's read": {"own": "GET"},
    "customer's write": {"own": "POST"},
    "customer's ingest": {"ingest": "GET POST"},
    "customer's gateway": {"feed": "GET POST"},
    "customer's provision": NOTHING,
    "customer's metrics": {"metrics": "GET POST"},
    "staff": EVERYTHING,
    "staff's read": {"own": "GET"},
    "staff's write": {"own": "POST"},
    "staff's ingest": {"ingest": "GET POST"},
    "staff's gateway": {"feed": "GET POST"},
    "staff's provision": {"provision": "GET POST", "feed": "GET POST"},
    "staff's metrics": {"metrics": "GET POST"},
    "helper": {"own": "GET POST", "person": "GET POST"},
    "helper's provision": NOTHING,
    "viewer": {
        "own": "GET POST",
        "person": "GET POST",
        "provision": "GET",
        "feed": "GET",
        "metrics": "GET POST",
    },
    "viewer's provision": {"provision": "GET", "feed": "GET"},
}


@pytest.mark.parametrize("name", MATRIX)
def test_every_caller_has_exactly_the_permissions_of_the_matrix(
    name: str, alice: User, staff: User, helper: User, viewer: User, client_for: Callable[..., APIClient]
) -> None:
    owner, _, scope = name.partition("'s ")
    user = {"customer": alice, "staff": staff, "helper": helper, "viewer": viewer}.get(owner)
    client = client_for(user, scope) if scope else client_for(user)
    got = {
        permission: " ".join(
            method for method in ("GET", "POST") if client.generic(method, f"/{permission}").status_code == 200
        )
        for permission in PERMISSIONS
    }
    assert {permission: methods for permission, methods in got.items() if methods} == MATRIX[name]


def test_former_staff_cannot_provision(staff: User, client_for: Callable[..., APIClient]) -> None:
    client = client_for(staff, "provision")
    User.objects.filter(pk=staff.pk).update(is_staff=False)
    assert client.get("/provision").status_code == 403


def test_a_staff_session_may_ingest(staff: User) -> None:
    client = APIClient()
    client.force_login(staff)
    assert client.get("/ingest").status_code == 200
