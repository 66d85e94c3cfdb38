"""Host names are normalized to one form, however they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fonproxy.hostnames import normalized

SAME = {
    "case": ("Shop.EXAMPLE.com", "shop.example.com"),
    "final dot": ("dot.example.", "dot.example"),
    "several final dots": ("dot.example..", "dot.example"),
    "punycode": ("xn--mnchen-3ya.example", "münchen.example"),
    "punycode in capitals": ("XN--MNCHEN-3YA.example", "münchen.example"),
    "capital letters beyond ASCII": ("MÜNCHEN.example", "münchen.example"),
    "combining marks": ("mu\u0308nchen.example", "münchen.example"),
    "sharp s is not ss": ("xn--strae-oqa.de", "straße.de"),
    "emoji": ("xn--i-7iq.ws", "i❤.ws"),
    "ideographic full stop": ("例え。テスト", "例え.テスト"),
    "long IPv6 address": ("2001:0DB8:0:0::1", "2001:db8::1"),
    "IPv6 address in brackets": ("[2001:db8::1]", "2001:db8::1"),
    "full-width IPv6 address": ("2001\uff1a0db8\uff1a\uff1a1", "2001:db8::1"),
    "IPv4 address mapped into IPv6": ("::ffff:192.0.2.1", "192.0.2.1"),
    "top-level domain": ("xn--r8jz45g.xn--zckzah.", "例え.テスト"),
}
KEPT = {
    "punycode of ASCII alone": "xn--example-.com",
    "punycode of nothing": "xn--.com",
    "broken punycode": "xn--99999999999.com",
    "punycode of a name that no registry takes": "xn--a-ecp.ru",
    "a label longer than DNS allows": f"xn--{'a' * 60}-3ya.com",
    "underscore": "_dmarc.example.com",
    "IPv4 address": "192.0.2.1",
    "IPv6 address with a port": "[2001:db8::1]:443",
    "IPv6 address with a zone": "fe80::1%eth0",
    "half a pair of brackets": "[2001:db8::1",
    "a text": "no host at all",
    "nothing": "",
}


@pytest.mark.parametrize(("written", "stored"), SAME.values(), ids=SAME)
def test_spellings_of_one_host_are_stored_alike(written: str, stored: str) -> None:
    assert normalized(written) == stored


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_text_that_names_no_idna_host_is_kept(text: str) -> None:
    assert normalized(text) == text


labels = st.one_of(
    st.text(max_size=12),
    st.text("abcdef0123456789-", max_size=12).map("xn--".__add__),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
        lambda text: "xn--" + text.lower().encode("punycode").decode()
    ),
)


@given(st.lists(labels, max_size=4).map(".".join))
def test_normalizing_again_changes_nothing(host: str) -> None:
    once = normalized(host)
    assert normalized(once) == once
