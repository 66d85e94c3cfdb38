"""Evaluators and senders are killed at random, on PostgreSQL: one firing each, and every firing arrives."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests import clickhouse, postgres
from tests.serving import free_port
from tests.usage.alerts.receiver import smtp, web
from tests.usage.stage import Stage, end

pytestmark = pytest.mark.torture
KILLS = 50
ROLES = ("evaluate",) * 4 + ("send",) * 2
SEED = 6


def test_each_due_alert_fires_once_and_every_firing_arrives() -> None:
    chance = random.Random(SEED)
    mail_port = free_port()
    with (
        postgres.running(postgres.required_programs()) as port,
        clickhouse.running() as endpoint,
        web() as receiver,
        smtp(mail_port) as mailbox,
    ):
        stage = Stage(
            "tests.usage.alerts.under_fire",
            DATABASE_URL=f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres",
            CLICKHOUSE_URL=endpoint.url,
            EMAIL_URL=f"smtp://127.0.0.1:{mail_port}",
            FONPROXY_WEBHOOKS_TO_PRIVATE_ADDRESSES="true",
        )
        stage.run("setup", receiver.url("ok"))
        user = stage.start("use")
        workers = [stage.start(role) for role in ROLES]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 2))
            victim = chance.randrange(len(ROLES))
            end(workers[victim])
            workers[victim] = stage.start(ROLES[victim])
        rounds = stage.finish(user)
        for worker in workers:
            end(worker)
        found = stage.run("settle")

    assert set(found["firings"].values()) == {rounds}
    # More than fired: one that is killed between two alerts of an order has named the lower in the mail of the higher.
    fired, named = (Counter(map(tuple, found[key])) for key in ("fired", "named"))
    assert not fired - named
    told = {tuple(pair) for pair in found["told"]}
    assert len(told) == len(found["told"])
    by_web = {number for method, number in told if method == "webhook"}
    by_mail = {number for method, number in told if method == "email"}
    assert {headers["Webhook-Id"] for _, headers, _ in receiver.calls} == by_web
    assert {str(mail["X-FonProxy-Firing"]) for mail in mailbox.mails} == by_mail
    assert {str(mail["Message-ID"]).strip("<>").split("@")[0] for mail in mailbox.mails} == by_mail
