"""The webhook of a firing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from fonproxy import webhooks
from fonproxy.sealing import Unreadable
from fonproxy.timerange import UTC_ZONE
from usage.ids import alert_id, subscription_id
from usage.models import AlertKind, Firing
from usage.periods import stamp


def call(firing: Firing, target: str, now: datetime, *, is_test: bool = False) -> None:
    """Calls this webhook once; raises DeliveryFailed."""
    try:
        secret = firing.alert.webhook_secret
    except Unreadable as fault:
        raise webhooks.DeliveryFailed(str(fault)) from None
    webhooks.send(target, secret, str(firing.id), body_of(firing, is_test=is_test), now)


def body_of(firing: Firing, *, is_test: bool = False) -> bytes:
    alert = firing.alert
    return msgspec.json.encode(
        {
            "type": "usage.test" if is_test else "usage.threshold_reached",
            "id": str(firing.id),
            "timestamp": stamp(firing.fired_at, UTC_ZONE),
            "data": {
                "alert_id": alert_id(alert.pk),
                "subscription_id": subscription_id(alert.order_id),
                "subscription_name": alert.order.name,
                "kind": firing.kind,
                "threshold": firing.threshold,
                **_figures(firing),
            },
        }
    )


def _figures(firing: Firing) -> dict[str, Any]:
    match AlertKind(firing.kind):
        case AlertKind.EXPIRES_IN:
            return {"expires_at": _stamp(firing.expires_at)}
        case AlertKind.ERROR_RATE:
            return {
                "error_percent": firing.error_percent,
                "errors": firing.errors,
                "requests": firing.requests,
                "window_began_at": _stamp(firing.window_began_at),
            }
        case AlertKind.LOGIN_PERCENT:
            return {"logins": firing.logins}
    percent = {"threshold_percent": firing.threshold} if firing.kind == AlertKind.USAGE_PERCENT else {}
    return {
        **percent,
        "used_percent": firing.percent,
        "used_bytes": firing.used_bytes,
        "limit_bytes": firing.limit_bytes,
        "projected_exhaustion_at": _stamp(firing.runs_out_at),
    }


def _stamp(at: datetime | None) -> str | None:
    return stamp(at, UTC_ZONE) if at else None
