"""The address of a server in mails and snippets."""

from __future__ import annotations

import pytest

from fonproxy.management.commands.serve import local_url

ADDRESSES = {
    ("127.0.0.1", 8103): "http://127.0.0.1:8103",
    ("0.0.0.0", 8000): "http://127.0.0.1:8000",
    ("::", 8000): "http://[::1]:8000",
    ("2001:db8::1", 80): "http://[2001:db8::1]:80",
    ("localhost", 8001): "http://localhost:8001",
}


@pytest.mark.parametrize(("listens", "url"), ADDRESSES.items())
def test_links_lead_to_the_port_that_is_served(listens: tuple[str, int], url: str) -> None:
    assert local_url(*listens) == url
