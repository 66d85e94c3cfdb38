"""The command line: ``fonproxy-agent COMMAND``."""

from __future__ import annotations

import argparse
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from fonproxy_agent import check, logs
from fonproxy_agent import config as configuration
from fonproxy_agent.authorize import ANSWER_SECONDS, Authorizer
from fonproxy_agent.chunks import Parser
from fonproxy_agent.client import AgentClient
from fonproxy_agent.config import Config, MappingConfig
from fonproxy_agent.enforce import Enforcer
from fonproxy_agent.errors import ExitCode, Stop, TryAgain, UsageError
from fonproxy_agent.files import Rotation, TimeOf
from fonproxy_agent.logins import LoginStore
from fonproxy_agent.mapping import PRESETS, MappedFormat
from fonproxy_agent.metrics import MetricsFile
from fonproxy_agent.sessions import CounterStore
from fonproxy_agent.shipper import Shipper
from fonproxy_agent.spool import Spool, open_source
from fonproxy_agent.squid import helpers, lines
from fonproxy_agent.waiting import Cancellation
from fonproxy_agent.watch import Watcher

KEY_HELP: Final = (
    "The API key, with scope '{scope}', is read from --key-file or the environment variable FONPROXY_KEY. Exit codes: "
    "0 done, 1 stopped by a problem that the message explains, 2 wrong usage, 75 start again to continue."
)

# A parser of lines, and the time of a line in milliseconds since the epoch, None if it cannot be parsed.
LogFormat = tuple[Parser, TimeOf]


def _mapped(mapping: MappingConfig) -> LogFormat:
    mapped = MappedFormat(mapping)
    return mapped.parse, mapped.time_of


FORMATS: Final[dict[str, Callable[[Config], LogFormat]]] = {
    "squid": lambda config: (lines.parse, lines.time_of),
    "haproxy": lambda config: _mapped(PRESETS["haproxy"]),
    "dante": lambda config: _mapped(PRESETS["dante"]),
    "3proxy": lambda config: _mapped(PRESETS["3proxy"]),
    "envoy": lambda config: _mapped(PRESETS["envoy"]),
    "lines": lambda config: _mapped(config.mapping),
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logs.configure("plain")
    try:
        config = configuration.override(configuration.load(options.config), options)
        logs.configure(config.log_format)
        run: Callable[[Config], ExitCode] = options.run
        return run(config)
    except Stop as reason:
        logging.error("%s", reason)
        return reason.code
    except (OSError, sqlite3.Error) as error:
        logging.error("%s", error)
        return ExitCode.FAILED


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, help="a TOML file with settings; options given here take precedence")
    common.add_argument("--url", help="FonProxy's base URL, such as https://usage.example.com")
    common.add_argument("--key-file", help="a file that contains only the API key")
    parser = argparse.ArgumentParser(
        prog="fonproxy-agent", description="Programs that run beside a proxy server and report to FonProxy."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ship_command = commands.add_parser(
        "ship",
        parents=[common],
        help="push a proxy's log",
        description="Pushes a proxy's log. After any interruption the same command continues where it was; no line "
        "counts twice.",
        epilog=KEY_HELP.format(scope="ingest"),
    )
    _add_ship_options(ship_command)
    ship_command.set_defaults(run=ship)
    enforce_command = commands.add_parser(
        "enforce",
        parents=[common],
        help="keep the stopped logins in a file and end their connections",
        description="Follows FonProxy's cut-off feed. Settings are in [enforce] of the configuration file.",
        epilog=KEY_HELP.format(scope="gateway"),
    )
    enforce_command.set_defaults(run=enforce)
    watch_command = commands.add_parser(
        "watch",
        parents=[common],
        help="report Squid's running requests while they run",
        description="Reports Squid's running requests, so that long ones count before they end. `ship` needs "
        "watched = true then. Settings are in [watch] of the configuration file.",
        epilog=KEY_HELP.format(scope="gateway"),
    )
    watch_command.set_defaults(run=watch)
    check_command = commands.add_parser(
        "check",
        parents=[common],
        help="report problems of the configuration and the machine",
        description="Checks what the configuration uses: FonProxy, the API key's scopes, the log, Squid, permissions. "
        "Exit code 1 if something is wrong.",
    )
    check_command.set_defaults(run=check_all)
    _add_helper(commands, common, "squid-auth", "auth_param basic", helpers.sign_in)
    _add_helper(commands, common, "squid-acl", "external_acl_type", helpers.access)
    return parser


def _add_helper(
    commands: Any, common: argparse.ArgumentParser, name: str, directive: str, question: helpers.Question
) -> None:
    helper = commands.add_parser(
        name,
        parents=[common],
        help=f"Squid's helper for {directive}",
        description=f"Squid starts it, with concurrency= in `{directive}`. Settings are in [sign_in] of the "
        "configuration file.",
        epilog=KEY_HELP.format(scope="gateway"),
    )
    helper.set_defaults(run=partial(help_squid, question))


def _add_ship_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", nargs="?", choices=FORMATS, help="what wrote the log (squid); lines: see [mapping]")
    parser.add_argument("file", nargs="?", help="the access log; its rotated files are found beside it")
    parser.add_argument(
        "--raw", action="store_true", help="push single requests instead of sums (the last 7 days only)"
    )
    parser.add_argument("--follow", action="store_true", help="wait for new lines, across rotation, until stopped")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="continue even if nearly all lines are unreadable"
    )


def _cancellation() -> Cancellation:
    cancellation = Cancellation()
    cancellation.install()
    return cancellation


def ship(config: Config) -> ExitCode:
    if not config.ship.file:
        raise UsageError("Name the log file on the command line or in the configuration.")
    if config.ship.raw and config.ship.watched:
        raise UsageError(
            "raw and watched in [ship] cannot be combined: watched requests are not pushed as single rows."
        )
    cancellation = _cancellation()
    path = Path(config.ship.file).absolute()
    parse, time_of = FORMATS[config.ship.format](config)
    client = AgentClient(config.url, configuration.read_key(config), "ingest")
    shipper = Shipper(
        Rotation(path, time_of),
        parse,
        client,
        worker=config.worker_name,
        is_raw=config.ship.raw,
        follow=config.ship.follow or bool(config.ship.source),
        delete_finished=bool(config.ship.source),
        skip_unreadable=config.ship.skip_unreadable,
        sessions=CounterStore(Path(config.watch.database)) if config.ship.watched else None,
        metrics=MetricsFile(config.metrics_dir, "ship"),
        cancellation=cancellation,
    )
    if config.ship.source:
        receive(config.ship.source, path, shipper, cancellation)
    shipper.run()
    for sentence in shipper.report.sentences():
        print(sentence)
    if cancellation.is_set and not config.ship.follow and not config.ship.source:
        raise TryAgain("Stopped before the end of the log. Start again to continue.")
    return ExitCode.OK


def receive(source: str, path: Path, shipper: Shipper, cancellation: Cancellation) -> None:
    """Writes lines of the source to the file, in a thread. The shipper ends after the source has ended."""
    spool = Spool(path)
    received = open_source(source, sys.stdin.buffer, cancellation)

    def run() -> None:
        for line in received:
            spool.append(line)
        shipper.stop_following()

    threading.Thread(target=run, daemon=True).start()


def enforce(config: Config) -> ExitCode:
    client = AgentClient(config.url, configuration.read_key(config), "gateway")
    metrics = MetricsFile(config.metrics_dir, "enforce")
    Enforcer(config.enforce, client, config.squid.manager, metrics, _cancellation()).run()
    return ExitCode.OK


def watch(config: Config) -> ExitCode:
    client = AgentClient(config.url, configuration.read_key(config), "gateway")
    metrics = MetricsFile(config.metrics_dir, "watch")
    Watcher(config.watch, client, config.squid.manager, config.worker_name, metrics, _cancellation()).run()
    return ExitCode.OK


def help_squid(question: helpers.Question, config: Config) -> ExitCode:
    client = AgentClient(config.url, configuration.read_key(config), "gateway", timeout=ANSWER_SECONDS)
    authorizer = Authorizer(config.sign_in, client, LoginStore(Path(config.sign_in.database)), config.worker_name)
    threading.Thread(target=authorizer.keep_in_sync, daemon=True).start()
    helpers.serve(question, authorizer, config.sign_in.workers, sys.stdin.buffer, sys.stdout.buffer)
    return ExitCode.OK


def check_all(config: Config) -> ExitCode:
    is_ok = True
    parse, _ = FORMATS[config.ship.format](config)
    for finding in check.findings(config, parse):
        print(f"{'ok   ' if finding.is_ok else 'WRONG'}  {finding.text}")
        is_ok &= finding.is_ok
    return ExitCode.OK if is_ok else ExitCode.FAILED
