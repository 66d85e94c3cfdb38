"""Usual causes of the errors that proxies report, and how a customer can fix each."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Help(NamedTuple):
    """``pattern`` is searched in the error's text, ignoring case; the first match explains it."""

    pattern: str
    meaning: Promise
    advice: Promise


HELP: Final = (
    Help(
        r"\b407\b|proxy.?auth",
        _("The proxy rejected the user name or password."),
        _("Check the proxy login, and that the order is active and has traffic left."),
    ),
    Help(
        r"denied\w*/\d",
        _("The proxy refused the request."),
        _(
            "Check that the order is active and has traffic left, that your address is allowed, and how many "
            "connections the login has open. The header Proxy-Status of the proxy's response names the reason."
        ),
    ),
    Help(
        r"timed?.?out|\b504\b|\b408\b|\b522\b",
        _("The site did not respond in time."),
        _("Increase the timeout of your client, or try another session or country."),
    ),
    Help(
        r"refused",
        _("The site refused the connection."),
        _("Check host and port. If it persists, the site may block this exit: change the session or country."),
    ),
    Help(
        r"reset|epipe|broken.?pipe|hung.?up|closed|aborted",
        _("The connection was closed early."),
        _("Retry with a new session. Sites close connections that look automated, so send requests more slowly."),
    ),
    Help(
        r"dns|notfound|not.?resolve|name.?resolution|nxdomain|eai_again",
        _("The host name could not be resolved."),
        _("Check the spelling of the host name. The site may have moved."),
    ),
    Help(
        r"tls|ssl|certificate|handshake|eproto",
        _("The TLS connection could not be established."),
        _("Check that the site supports HTTPS and that your client supports TLS 1.2 or later."),
    ),
    Help(
        r"unreach",
        _("The site cannot be reached from this exit."),
        _("Try another session or country."),
    ),
    Help(
        r"\b403\b|forbidden|denied|blocked",
        _("The site denied the request."),
        _("The site may block this exit: change the session or country, and send the headers of a browser."),
    ),
    Help(
        r"\b429\b|too.?many|rate.?limit",
        _("The site limits the request rate."),
        _("Send requests more slowly, or use more sessions."),
    ),
    Help(
        r"\b401\b|unauthori[sz]ed",
        _("The site requires authentication."),
        _("Send credentials for the site. They are separate from your proxy login."),
    ),
    Help(r"\b404\b|\b410\b", _("The page does not exist on the site."), _("Check the URL.")),
    Help(
        r"\b400\b|bad.?request|invalid|malformed",
        _("The request is malformed."),
        _("Check the URL and headers that your client sends."),
    ),
    Help(
        r"\b502\b|bad.?gateway|upstream",
        _("The exit lost its connection to the site."),
        _("Retry with a new session."),
    ),
    Help(
        r"\b503\b|unavailable|overload|no.?(peer|exit|proxy)",
        _("The site is overloaded, or no exit is free."),
        _("Retry in a moment. If it persists, try another country."),
    ),
    Help(r"\b5\d\d\b", _("The site returned a server error."), _("Retry later.")),
)
