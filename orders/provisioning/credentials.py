"""Credentials that a billing system hands out to a new customer: an API key, and a link for setting the password."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import audit_trail, password_links
from accounts import services as account_services
from accounts.audit_trail import Actor
from accounts.models import OWN_SCOPES, AuditRecord
from accounts.permissions import CanProvision
from accounts.selectors import find_customer
from accounts.serializers import KeyCreatedSerializer, NewKeySerializer
from fonproxy.api.docs import problems
from fonproxy.api.throttles import ProvisioningThrottle


class CustomerKeyBody(NewKeySerializer):
    def validate_scopes(self, scopes: list[str]) -> list[str]:
        if not set(scopes) <= set(OWN_SCOPES):
            raise serializers.ValidationError(f"A customer's key has {' or '.join(OWN_SCOPES)}.")
        return scopes


class PasswordLinkSerializer(serializers.Serializer[Any]):
    url = serializers.CharField()
    expiresAt = serializers.DateTimeField(source="expires_at")


class PasswordLinkAnswer(serializers.Serializer[Any]):
    passwordLink = PasswordLinkSerializer()


class CustomerKeyViewSet(ViewSet):
    permission_classes = [CanProvision]
    required_permissions = {"create": ("accounts.add_apikey",)}
    throttle_classes = [ProvisioningThrottle]

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_create_api_key",
        summary="Issue an API key to a customer",
        request=CustomerKeyBody,
        responses={201: KeyCreatedSerializer, **problems(400, 401, 403, 404, 409, 413, 415, 429, 503)},
    )
    def create(self, request: Request, externalId: str) -> Response:
        """Only this response contains the key; the customer is notified by mail."""
        now, customer = timezone.now(), find_customer(externalId)
        body = CustomerKeyBody(data=request.data, context={"now": now})
        body.is_valid(raise_exception=True)
        given = body.validated_data
        with transaction.atomic():
            key, secret = account_services.issue_key(
                user=customer, name=given["name"], scopes=given["scopes"], expires_at=given["expiresAt"], now=now
            )
            audit_trail.record("api key issued", AuditRecord.Kind.USER, customer.pk, actor=Actor.of(request), now=now)
        answer = {"apiKey": key, "message": "api_key.created"}
        issued = KeyCreatedSerializer(answer, context={"now": now, "secret": secret}).data
        return Response(issued, status=201, headers={"Cache-Control": "no-store"})


class PasswordLinkViewSet(ViewSet):
    permission_classes = [CanProvision]
    required_permissions = {"create": ("accounts.change_user",)}
    throttle_classes = [ProvisioningThrottle]

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_create_password_link",
        summary="Create a link for setting a customer's password",
        request=None,
        responses={201: PasswordLinkAnswer, **problems(400, 401, 403, 404, 409, 429, 503)},
    )
    def create(self, request: Request, externalId: str) -> Response:
        """The link works once, for three days. Anyone who has it can take over the account."""
        now, customer = timezone.now(), find_customer(externalId)
        link = password_links.make(customer, now)
        audit_trail.record("password link", AuditRecord.Kind.USER, customer.pk, actor=Actor.of(request), now=now)
        answer = PasswordLinkAnswer({"passwordLink": link}).data
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})
