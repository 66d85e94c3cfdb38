"""The stopped logins follow the feed across any interruption."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fonproxy_agent.enforce import FeedChange, apply
from running import run_agent, running, wait_for
from stand_in import StandIn, stand_in

APPEND = (
    "import os, sys; stopped = open(os.environ['FONPROXY_STOPPED_FILE']).read().splitlines();"
    "print(*sys.argv[2:], stopped, file=open(sys.argv[1], 'a'))"
)


class Feed:
    """Answers as FonProxy does: the latest change of each order, in order, two to a page."""

    def __init__(self) -> None:
        self.changes: dict[str, tuple[int, dict[str, Any]]] = {}
        self.number = 0
        self.status = 200

    def tell(self, order: str, state: str, *logins: str) -> None:
        self.number += 1
        self.changes[order] = self.number, {"externalId": order, "state": state, "proxyUsers": list(logins), "at": ""}

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {}
        since = int(path.partition("since=")[2])
        later = sorted((number, change) for number, change in self.changes.values() if number > since)
        page = later[:2]
        cursor = page[-1][0] if page else since
        return 200, {"changes": [change for _, change in page], "cursor": str(cursor), "hasMore": len(later) > 2}


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def feed(server: StandIn) -> Feed:
    feed = Feed()
    server.answer = feed.answer
    return feed


@pytest.fixture
def config(tmp_path: Path, server: StandIn) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f"""
        url = "{server.url}"
        metrics_dir = "{tmp_path}"
        [enforce]
        stopped_file = "{tmp_path}/stopped"
        on_change = ["{sys.executable}", "-c", "{APPEND}", "{tmp_path}/changes"]
        interval_seconds = 0.1
        """
    )
    return path


def stopped(config: Path) -> list[str]:
    path = config.with_name("stopped")
    return path.read_text().splitlines() if path.exists() else ["?"]


def is_stopped(config: Path, logins: list[str]) -> bool:
    return stopped(config) == logins


def enforcing(config: Path) -> Any:
    return running("enforce", "--config", str(config), FONPROXY_KEY="fnp_1")


def test_a_login_is_stopped_until_its_order_is_active() -> None:
    changes = [FeedChange("exhausted", ["a", "b"]), FeedChange("suspended", ["c"]), FeedChange("active", ["b"])]
    assert apply({"d"}, changes) == {"a", "c", "d"}
    assert apply({"d"}, changes * 2) == {"a", "c", "d"}


def test_the_file_follows_the_feed_and_a_command_runs_on_each_change(config: Path, feed: Feed) -> None:
    feed.tell("o1", "exhausted", "alice", "al ice")
    feed.tell("o2", "suspended", "bob")
    feed.tell("o3", "expired", "carol")
    with enforcing(config):
        wait_for(lambda: stopped(config) == ["al ice", "alice", "bob", "carol"])
        feed.tell("o1", "active", "alice", "al ice")
        wait_for(lambda: stopped(config) == ["bob", "carol"])
        wait_for(lambda: config.with_name("changes").read_text().splitlines()[-1] == "['bob', 'carol']")
    assert len(config.with_name("changes").read_text().splitlines()) == 2
    assert 'stopped_logins{command="enforce"}' in config.with_name("fonproxy_agent_enforce.prom").read_text()


def test_stopped_logins_stay_stopped_while_fonproxy_is_unreachable(config: Path, feed: Feed, server: StandIn) -> None:
    feed.tell("o1", "exhausted", "alice")
    with enforcing(config):
        wait_for(lambda: stopped(config) == ["alice"])
        feed.status = 503
        calls = len(server.called)
        wait_for(lambda: len(server.called) > calls + 2)
        assert stopped(config) == ["alice"]
        feed.status = 200
        feed.tell("o1", "active", "alice")
        wait_for(lambda: stopped(config) == [])


def test_a_killed_follower_misses_no_update(config: Path, feed: Feed) -> None:
    feed.tell("o1", "exhausted", "alice")
    for number in range(5):
        process = run_agent("enforce", "--config", str(config), FONPROXY_KEY="fnp_1")
        wait_for(partial(is_stopped, config, ["alice", "bob"] if number % 2 else ["alice"]))
        process.kill()
        process.communicate()
        feed.tell("o2", "active" if number % 2 else "exhausted", "bob")
    # Each start runs the command, because the one for the last change may have been interrupted.
    assert len(config.with_name("changes").read_text().splitlines()) >= 1


def test_a_command_that_fails_runs_again(config: Path, feed: Feed, tmp_path: Path) -> None:
    fails_once = f"import pathlib, sys; p = pathlib.Path('{tmp_path}/ran'); n = p.exists(); p.touch(); sys.exit(not n)"
    text = config.read_text()
    config.write_text(text.replace(APPEND, fails_once))
    feed.tell("o1", "exhausted", "alice")
    process = run_agent("enforce", "--config", str(config), FONPROXY_KEY="fnp_1")
    assert process.stderr
    wait_for(lambda: (tmp_path / "ran").exists())
    config.write_text(text)
    process.terminate()
    assert "ended with code 1" in process.communicate()[1]
    assert process.returncode == 0


def test_the_operators_command_ends_connections_of_each_newly_stopped_login(config: Path, feed: Feed) -> None:
    config.write_text(
        config.read_text()
        + f"""
        end_connections = "command"
        end_command = ["{sys.executable}", "-c", "{APPEND}", "{config.parent}/ended"]
        """
    )
    feed.tell("o1", "exhausted", "al ice")
    ended = config.with_name("ended")
    with enforcing(config):
        wait_for(lambda: ended.exists() and ended.read_text() == "al ice ['al ice']\n")
        feed.tell("o2", "exhausted", "bob")
        wait_for(lambda: ended.read_text() == "al ice ['al ice']\nbob ['al ice', 'bob']\n")


@pytest.mark.parametrize(("status", "said"), [(401, "does not know the API key"), (403, "lacks the scope 'gateway'")])
def test_a_refusal_stops_the_follower_with_a_message(status: int, said: str, config: Path, feed: Feed) -> None:
    feed.status = status
    process = run_agent("enforce", "--config", str(config), FONPROXY_KEY="fnp_1")
    assert said in process.communicate(timeout=60)[1]
    assert process.returncode == 1
