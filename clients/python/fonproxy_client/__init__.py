"""Reads FonProxy's APIs with an API key."""

from fonproxy_client.client import ApiError, FonProxyClient
from fonproxy_client.webhooks import InvalidWebhook, verify_webhook

__all__ = ["ApiError", "FonProxyClient", "InvalidWebhook", "verify_webhook"]
