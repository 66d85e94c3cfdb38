"""A stand-in for Byteful's published Python client, for Pythons on which that does not run.

It sends the same requests, reads the same fields with the same types, and pages by the same rule. Where the client
ignores an unknown value, this one fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final


class BytefulNetwork(StrEnum):
    DATACENTER = "datacenter"
    ISP = "isp"
    RESIDENTIAL = "residential"
    MOBILE = "mobile"


class Protocol(StrEnum):
    HTTP = "http"
    SOCKS = "socks"


def ledger(network: str) -> dict[str, Any]:
    return {
        f"{network}_ledger_id": str,
        f"{network}_ledger_reason": str,
        f"{network}_ledger_bytes": int,
        f"{network}_ledger_requests": int,
        f"{network}_ledger_period_date": date.fromisoformat,
        f"{network}_ledger_creation_datetime": datetime.fromisoformat,
        f"{network}_ledger_last_update_datetime": datetime.fromisoformat,
        "customer_id": int,
        "service_id": str,
        "service_adjustment_id": int,
    }


# The fields that we serve, of those that the client reads.
ROWS: Final[dict[str, dict[str, Any]]] = {
    "log": {
        "log_id": str,
        "log_request_datetime": datetime.fromisoformat,
        "log_network": BytefulNetwork,
        "log_protocol": Protocol,
        "log_method": str,
        "log_hostname": str,
        "log_status_code": int,
        "log_session_id": str,
        "log_total_bytes": int,
        "log_total_elapsed_ms": int,
        "log_concurrency": int,
        "log_authentication_type": int,
        "log_client_ip_address": str,
        "log_local_ip_address": str,
        "log_local_port": int,
        "log_egress_ip_address": str,
        "customer_id": int,
        "proxy_user_id": str,
        "service_id": str,
        "asn_id": int,
        "city_alias": str,
        "country_id": str,
    },
    "log_summary": {
        "log_summary_id": str,
        "log_summary_period": datetime.fromisoformat,
        "log_summary_network": BytefulNetwork,
        "log_summary_hostname": str,
        "log_summary_requests": int,
        "log_summary_bytes": int,
        "log_summary_creation_datetime": datetime.fromisoformat,
        "log_summary_last_update_datetime": datetime.fromisoformat,
        "customer_id": int,
        "proxy_user_id": str,
    },
    "residential_ledger": ledger("residential"),
    "mobile_ledger": ledger("mobile"),
    "customer": {
        "customer_id": int,
        "residential_bytes_left": int,
        "mobile_bytes_left": int,
        "active_residential_service_id": str,
        "active_mobile_service_id": str,
    },
}
EXACT: Final = {int: int, str: str}


class BytefulError(Exception):
    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body['error']}: {body['message']} ({body['api_request_id']})")
        self.status_code = status


class BytefulClient:
    """Has the client's method names."""

    def __init__(self, session: Any, public_key: str, private_key: str, base_url: str) -> None:
        self._session = session
        self._base_url = base_url
        self._headers = {
            "X-API-Public-Key": public_key,
            "X-API-Private-Key": private_key,
            "Accept": "application/json",
        }

    def search(self, noun: str, **params: Any) -> dict[str, Any]:
        page = self._get(f"{noun}/search", params)
        page["data"] = [_row(noun, row) for row in page["data"]]
        assert page["item_count"] == len(page["data"])
        assert isinstance(page["message"], str)
        return page

    def every(self, noun: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All rows, page by page, until the pages have as many as there are."""
        number = 1
        while True:
            page = self.search(noun, page=number, **params)
            yield from page["data"]
            if page["page"] * page["per_page"] >= page["total_count"]:
                return
            number += 1

    def retrieve(self, noun: str, published_id: str = "") -> dict[str, Any]:
        path = f"{noun}/retrieve/{published_id}".rstrip("/")
        return _row(noun, self._get(path, {})["data"])

    def data(self, path: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._get(path, params)["data"]
        return found

    def _get(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in params.items() if value is not None}
        answer = self._session.request(
            "GET", f"{self._base_url}/public/user/{path}", params=given, json=None, headers=self._headers, timeout=30
        )
        body: dict[str, Any] = answer.json()
        if not 200 <= answer.status_code < 300:
            raise BytefulError(answer.status_code, body)
        return body


def _row(noun: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: _read(name, type_, row[name]) for name, type_ in ROWS[noun].items()}


def _read(name: str, type_: Any, value: Any) -> Any:
    if value is None:
        return None
    assert not isinstance(value, bool), name
    assert isinstance(value, EXACT.get(type_, str)), f"{name} is {value!r}"
    return type_(value)
