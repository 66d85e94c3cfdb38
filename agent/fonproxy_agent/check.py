"""Reports problems of a gateway's setup before a command fails on them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fonproxy_agent import config as configuration
from fonproxy_agent.chunks import Parser
from fonproxy_agent.client import MINUTES_ROUTE, AgentClient, Unreachable
from fonproxy_agent.config import Config
from fonproxy_agent.enforce import FEED, FeedPage
from fonproxy_agent.errors import Stop
from fonproxy_agent.passwords import matches
from fonproxy_agent.request import LineError
from fonproxy_agent.squid import manager

CONNECT_SECONDS: Final = 10.0
# How much of the log's end is parsed.
SAMPLE_BYTES: Final = 2**18
CAP_NET_ADMIN: Final = 12
COMMAND_SECONDS: Final = 10.0
END_SECONDS: Final = 2.0


class Finding(NamedTuple):
    is_ok: bool
    text: str


def findings(config: Config, parse: Parser) -> Iterator[Finding]:
    """The results in order; only parts that the configuration uses are checked."""
    yield from _key(config)
    yield from _fonproxy(config)
    if config.ship.file:
        yield from _log(config, parse)
    if config.ship.watched:
        yield _writable("The directory of [watch] database", Path(config.watch.database).parent)
        yield _manager(config)
    if config.enforce.stopped_file:
        yield from _enforce(config)
    if Path(config.sign_in.database).parent.exists():
        yield _writable("The directory of [sign_in] database", Path(config.sign_in.database).parent)
        yield _libcrypt()
    yield from _access(config)
    if config.metrics_dir:
        yield _writable("metrics_dir", Path(config.metrics_dir))


def _key(config: Config) -> Iterator[Finding]:
    if config.key_file and Path(config.key_file).exists():
        is_private = not Path(config.key_file).stat().st_mode & 0o077
        hint = "" if is_private else f": run chmod 600 {config.key_file}"
        yield Finding(
            is_private, f"The key file is readable by its owner {'only' if is_private else 'and by others'}{hint}."
        )


def _fonproxy(config: Config) -> Iterator[Finding]:
    """An empty batch checks the scope `ingest`, the end of the cut-off feed checks `gateway`."""
    try:
        key = configuration.read_key(config)
        AgentClient(config.url, key, "ingest", timeout=CONNECT_SECONDS).post(MINUTES_ROUTE, {"logs": []}, {})
        yield Finding(True, f"FonProxy at {config.url} accepts rows with this API key.")
    except (Stop, Unreachable) as problem:
        yield Finding(False, f"{config.url or 'url'}: {problem}")
        return
    if config.ship.watched or config.enforce.stopped_file:
        try:
            client = AgentClient(config.url, key, "gateway", timeout=CONNECT_SECONDS)
            client.get(FEED.format(cursor=2**62), FeedPage)
            yield Finding(True, "The API key may read the cut-off feed.")
        except (Stop, Unreachable) as problem:
            yield Finding(False, f"The cut-off feed: {problem}")


def _log(config: Config, parse: Parser) -> Iterator[Finding]:
    path = Path(config.ship.file)
    yield _writable("The directory of the log, which gets the agent's state file", path.absolute().parent)
    if config.ship.source:
        return
    try:
        with path.open("rb") as log:
            log.seek(max(path.stat().st_size - SAMPLE_BYTES, 0))
            lines = log.read(SAMPLE_BYTES).splitlines(keepends=True)
    except OSError as error:
        yield Finding(False, f"The log {path} cannot be read: {error.strerror}.")
        return
    whole = [line for line in lines[1 if path.stat().st_size > SAMPLE_BYTES else 0 :] if line.endswith(b"\n")]
    errors = [parsed for line in whole if isinstance(parsed := parse(line), LineError)]
    reason = f": the last one of the others {errors[-1]}" if errors else ""
    yield Finding(
        not errors, f"{len(whole) - len(errors):,} of the last {len(whole):,} lines of {path} can be read{reason}."
    )


def _enforce(config: Config) -> Iterator[Finding]:
    yield _writable("The directory of stopped_file", Path(config.enforce.stopped_file).absolute().parent)
    for name, command in (("on_change", config.enforce.on_change), ("end_command", config.enforce.end_command)):
        if command:
            is_found = shutil.which(command[0]) is not None
            yield Finding(is_found, f"The program {command[0]} of {name} is {'found' if is_found else 'missing'}.")
    if config.enforce.end_connections == "ss":
        yield _manager(config)
        problem = problem_of_ending()
        yield Finding(not problem, problem or "Running connections can be ended with `ss -K`.")


def _manager(config: Config) -> Finding:
    url = config.squid.manager
    try:
        count = sum(1 for _ in manager.active_requests(url))
    except manager.ManagerError as problem:
        return Finding(False, f"{problem}: does squid.conf have `http_access allow localhost manager`?")
    return Finding(True, f"Squid at {url} lists {count:,} running requests with a login.")


def _access(config: Config) -> Iterator[Finding]:
    """Checks for the access rule; nothing if there is no Squid to ask or other programs sign its logins in."""
    url = config.squid.manager
    try:
        if not _has_agent(manager.sign_in_programs(url)):
            return
        has_access = _has_agent(manager.access_programs(url))
    except manager.ManagerError:
        return
    if has_access:
        yield Finding(True, f"Squid at {url} asks squid-acl who may pass.")
    else:
        yield Finding(
            False,
            f"Squid at {url} asks squid-auth but has no external_acl_type with squid-acl: stopped logins pass. "
            "Add the access rule of ops/squid/squid.conf.",
        )


def _has_agent(programs: list[str]) -> bool:
    """Whether one of the programs is the agent; Squid does not report arguments."""
    return any(Path(program).name == "fonproxy-agent" for program in programs)


def _libcrypt() -> Finding:
    try:
        matches("", "")
    except OSError as error:
        return Finding(False, str(error))
    return Finding(True, "Passwords can be checked while FonProxy is unreachable.")


def _writable(what: str, directory: Path) -> Finding:
    is_ok = os.access(directory, os.W_OK | os.X_OK)
    return Finding(is_ok, f"{what} ({directory}) is {'' if is_ok else 'not '}writable for this user.")


def problem_of_ending() -> str:
    """Why `ss -K` cannot end connections here, tested with a connection of this process; empty if it can."""
    if shutil.which("ss") is None:
        return "The program ss is missing: install iproute2."
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        served = listener.accept()[0]
        with served:
            command = ["ss", "-K", "dst", "127.0.0.1", "dport", "=", str(client.getsockname()[1])]
            subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_SECONDS)  # noqa: S603 - ours
            served.settimeout(END_SECONDS)
            try:
                served.recv(1)
            except TimeoutError:
                pass
            except OSError:
                return ""
    if not _may_administer_network():
        return (
            "This user may not end connections of others: run `enforce` as root or with "
            "AmbientCapabilities=CAP_NET_ADMIN."
        )
    return "`ss -K` ended no connection: it needs a kernel with CONFIG_INET_DIAG_DESTROY."


def _may_administer_network() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return bool(effective >> CAP_NET_ADMIN & 1)
