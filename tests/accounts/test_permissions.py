from __future__ import annotations

from collections.abc import Callable

import pytest
from django.http.response import HttpResponseBase
from django.urls import path
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import CanIngest, CanRead, IsPerson, IsStaff

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


class Guarded(APIView):
    def get(self, request: Request) -> Response:
        return Response()


def guarded(permission: type[BasePermission]) -> Callable[..., HttpResponseBase]:
    return Guarded.as_view(permission_classes=[permission])


urlpatterns = [
    path("read", guarded(CanRead)),
    path("ingest", guarded(CanIngest)),
    path("person", guarded(IsPerson)),
    path("staff", guarded(IsStaff)),
]

MATRIX = {
    # caller: read, ingest, person, staff
    "nobody": (401, 401, 401, 401),
    "customer": (200, 403, 200, 403),
    "customer's read key": (200, 403, 403, 403),
    "customer's ingest key": (403, 200, 403, 403),
    "staff": (200, 200, 200, 200),
    "staff's read key": (200, 403, 403, 200),
    "staff's ingest key": (403, 200, 403, 403),
}


@pytest.mark.parametrize("name", MATRIX)
def test_every_caller_may_do_what_the_matrix_says(
    name: str, alice: User, staff: User, client_for: Callable[..., APIClient]
) -> None:
    owner, _, scope = name.partition("'s ")
    user = {"customer": alice, "staff": staff}.get(owner)
    client = client_for(user, scope.removesuffix(" key")) if scope else client_for(user)
    got = tuple(client.get(f"/{route}").status_code for route in ("read", "ingest", "person", "staff"))
    assert got == MATRIX[name]


def test_a_session_of_staff_may_ingest(staff: User) -> None:
    client = APIClient()
    client.force_login(staff)
    assert client.get("/ingest").status_code == 200
