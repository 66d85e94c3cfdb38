"""What the errors that proxies report usually mean, and what a customer can do about each."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Help(NamedTuple):
    """``pattern`` is looked for in the error's text, in any case; the first that is found explains it."""

    pattern: str
    meaning: Promise
    advice: Promise


HELP: Final = (
    Help(
        r"\b407\b|proxy.?auth",
        _("The proxy does not accept the user name or the password."),
        _("Check the login of the proxy, and that the order is active and has traffic left."),
    ),
    Help(
        r"timed?.?out|\b504\b|\b408\b|\b522\b",
        _("The site did not answer in time."),
        _("Allow your client more time, and try another session or country."),
    ),
    Help(
        r"refused",
        _("The site turned the connection away."),
        _("Check host and port. If it goes on, the site blocks this exit: change the session or the country."),
    ),
    Help(
        r"reset|epipe|broken.?pipe|hung.?up|closed|aborted",
        _("The connection was cut while it was in use."),
        _("Try again with a new session. Sites cut those they take for robots, so slow down."),
    ),
    Help(
        r"dns|notfound|not.?resolve|name.?resolution|nxdomain|eai_again",
        _("The name of the site cannot be found."),
        _("Check the spelling of the host name; the site may also have moved."),
    ),
    Help(
        r"tls|ssl|certificate|handshake|eproto",
        _("The two ends could not agree on an encrypted connection."),
        _("Check whether the site wants https, and that your client speaks TLS 1.2 or newer."),
    ),
    Help(
        r"unreach",
        _("There is no way to the site from this exit."),
        _("Try another session or country."),
    ),
    Help(
        r"\b403\b|forbidden|denied|blocked",
        _("The request is forbidden."),
        _("The site may block the exit: change the session or the country, and send the headers that a browser sends."),
    ),
    Help(
        r"\b429\b|too.?many|rate.?limit",
        _("Too many requests for the site's taste."),
        _("Slow down, or spread the requests over more sessions."),
    ),
    Help(
        r"\b401\b|unauthori[sz]ed",
        _("The site asks for a sign-in."),
        _("Send the site's own credentials; those of the proxy are another matter."),
    ),
    Help(r"\b404\b|\b410\b", _("The page does not exist."), _("Check the address.")),
    Help(
        r"\b400\b|bad.?request|invalid|malformed",
        _("The request could not be read."),
        _("Check how your client writes the address and the headers."),
    ),
    Help(
        r"\b502\b|bad.?gateway|upstream",
        _("The exit lost the site."),
        _("Try again with a new session."),
    ),
    Help(
        r"\b503\b|unavailable|overload|no.?(peer|exit|proxy)",
        _("The site is overloaded, or no exit is free."),
        _("Wait a moment; try another country if it goes on."),
    ),
    Help(r"\b5\d\d\b", _("The site itself failed."), _("Try again later.")),
)
