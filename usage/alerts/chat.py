"""Messages to Slack, Discord, Telegram and Microsoft Teams, through Apprise.

A target must match one exact form with the service's own host and a token, because Apprise's own URLs could name any
host, read local files as templates and disable TLS verification.
"""

from __future__ import annotations

import logging
import re
from importlib import import_module
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from fonproxy.sealing import Unreadable
from fonproxy.webhooks import CONNECT_SECONDS, DEADLINE_SECONDS, MAX_URL_LENGTH, DeliveryFailed
from usage.alerts import texts
from usage.models import Alert, Firing

Method = Alert.Method
TIMEOUTS: Final = {"cto": CONNECT_SECONDS, "rto": DEADLINE_SECONDS}
PLAIN: Final = {
    "format": "text",
    "include_image": False,
    "include_footer": False,
    "include_timestamp": False,
    "footer": False,
    "avatar": False,
}
ANGLES: Final = str.maketrans("<>", "\u2039\u203a")
STATUS: Final = re.compile(r"error=(\d{3})\b")


class BadTarget(ValueError):
    """A target that is not allowed; the text is a message for its owner."""


class ChatService(NamedTuple):
    """Apprise's plugin, and the form of its targets; the groups ``shown``, ``end`` and ``rest`` may be displayed."""

    module: str
    plugin: str
    pattern: re.Pattern[str]
    form: str | Promise


SERVICES: Final = {
    Method.SLACK: ChatService(
        "slack",
        "NotifySlack",
        re.compile(
            r"(?P<shown>https://hooks\.slack\.com/services/T[A-Z0-9]{1,20}/)B[A-Z0-9]{1,20}/[A-Za-z0-9]{8,64}(?P<end>[A-Za-z0-9]{4})"
        ),
        _("a Slack incoming webhook: https://hooks.slack.com/services/T…/B…/…"),
    ),
    Method.DISCORD: ChatService(
        "discord",
        "NotifyDiscord",
        re.compile(
            r"(?P<shown>https://discord\.com/api/webhooks/[0-9]{5,25}/)[A-Za-z0-9_-]{8,128}(?P<end>[A-Za-z0-9_-]{4})"
        ),
        _("a Discord webhook: https://discord.com/api/webhooks/…/…"),
    ),
    Method.TELEGRAM: ChatService(
        "telegram",
        "NotifyTelegram",
        re.compile(
            r"(?P<shown>tgram://[0-9]{5,20}:)[A-Za-z0-9_-]{28,64}(?P<end>[A-Za-z0-9_-]{4})(?P<rest>/-?[0-9]{1,20})"
        ),
        _("a bot token and a chat ID: tgram://123456:ABC…/-100123"),
    ),
    Method.MSTEAMS: ChatService(
        "workflows",
        "NotifyWorkflows",
        re.compile(
            r"(?P<shown>https://(?:[a-z0-9-]{1,63}\.){1,5}(?:logic\.azure\.com|api\.powerplatform\.com)(?::443)?/)"
            r"(?:powerautomate/automations/direct/(?:cu/[0-9]{1,4}/)?)?"
            r"workflows/[A-Za-z0-9_-]{1,64}/triggers/manual/paths/invoke"
            r"\?(?:(?:api-version|sp|sv)=[A-Za-z0-9._%-]{1,64}&){0,3}sig=[A-Za-z0-9._%-]{8,128}(?P<end>[A-Za-z0-9._%-]{4})"
        ),
        _("a Teams workflow: https://….logic.azure.com/workflows/…/triggers/manual/paths/invoke?…"),
    ),
}


def check(method: str, target: str) -> None:
    """Raises BadTarget for what is not a target of that service."""
    _match(method, target)


def masked(method: str, target: str) -> str:
    """The target with its token masked except for the last four characters."""
    match = _match(method, target)
    return f"{match['shown']}…{match['end']}{match.groupdict().get('rest', '')}"


def deliver(firing: Firing, *, is_test: bool = False) -> None:
    """Sends the firing to its alert's chat once; raises DeliveryFailed."""
    try:
        target = firing.alert.chat
    except Unreadable as fault:
        raise DeliveryFailed(str(fault)) from None
    with translation.override(firing.alert.order.user.language):
        title = texts.title(firing)
        lines = [f"{row.name}: {row.value}" for row in texts.rows(firing)]
    body = "\n".join([*lines, str(settings.PUBLIC_URL)])
    send(firing.alert.method, target, f"Test, with invented figures: {title}" if is_test else title, body)


def send(method: str, target: str, title: str, body: str) -> None:
    """Sends the message once; raises DeliveryFailed, which says why it failed in FonProxy's own words."""
    try:
        plugin = _plugin(method, target)
    except BadTarget as fault:
        raise DeliveryFailed(str(fault)) from None
    # Apprise's log has the outcome, and at its lowest level the token, so it is read here and goes nowhere else.
    outcome = _Outcome()
    plugin.logger = logging.Logger("apprise", logging.WARNING)
    plugin.logger.addHandler(outcome)
    # Apprise would sleep for as long as the service says; our deliveries are retried later instead.
    plugin.throttle = lambda *_, **__: None
    if not plugin.notify(title=_without_markup(title), body=_without_markup(body), body_format="text"):
        status = STATUS.search(" ".join(outcome.lines))
        raise DeliveryFailed(f"Responded with status {status[1]}." if status else "No valid response in time.")


class _Outcome(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _without_markup(text: str) -> str:
    """The text without tags and without Slack mentions such as ``<!channel>``."""
    return text.translate(ANGLES)


def _match(method: str, target: str) -> re.Match[str]:
    service = SERVICES[Method(method)]
    match = service.pattern.fullmatch(target) if len(target) <= MAX_URL_LENGTH else None
    if match is None:
        raise BadTarget(_("Must be %s") % service.form)
    return match


def _plugin(method: str, target: str) -> Any:
    _match(method, target)
    # Imported late, because Apprise takes 27 MB: only processes that send to a chat load it.
    apprise = import_module("apprise")
    service = SERVICES[Method(method)]
    plugin = getattr(import_module(f"apprise.plugins.{service.module}"), service.plugin)
    parsed = plugin.parse_native_url(target) or plugin.parse_url(target)
    asset = apprise.AppriseAsset(app_id="FonProxy", http_redirects=False)
    try:
        return plugin(**{**parsed, **PLAIN, **TIMEOUTS, "asset": asset})
    except TypeError:  # like Apprise's own error for malformed parts
        raise BadTarget(_("Must be %s") % service.form) from None
