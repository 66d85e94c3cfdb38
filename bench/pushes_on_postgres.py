"""Small pushes to two web processes on PostgreSQL, Redis and the tests' ClickHouse endpoint.

Like ``bench.small_pushes``, with the production processes of ``bench.soak``: two web processes, two workers and beat.
The processor time is that of both web processes. Afterwards every table and ledger must have grown by exactly the rows
that were answered with 204. Server, stores and load share the machine.
"""

from __future__ import annotations

import argparse
import random
from datetime import UTC, datetime
from typing import Final

from bench.bodies import PushBody
from bench.small_pushes import BODIES, ROWS, Gateways, PushTotals
from bench.soak import COUNTED, DOMAINS, check, settled
from bench.support import Process, percentile, print_table
from tests.stack import topology
from tests.stack.load import Batch, Customer, make_batch
from tests.stack.topology import Stack

CONNECTIONS: Final = (16, 64)
PATH: Final = "/analytics/ingest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (default 10)")
    options = parser.parse_args()
    with topology.running() as stack:
        since = datetime.now(UTC) - COUNTED
        before = settled(stack, since)
        account = run(stack, options.rounds, options.seconds)
        check(before, settled(stack, since), account)


def run(stack: Stack, rounds: int, seconds: float) -> Customer:
    """Prints the rates; returns what was acknowledged."""
    batches = {batch.body: batch for batch in some_batches()}
    bodies = [PushBody(body, ROWS, batch.account.requests.total()) for body, batch in batches.items()]
    processes = [Process(web.port, web.process.pid) for web in stack.web]
    headers = f"x-api-key: {stack.web[0].keys['INGEST_KEY']}\r\n"
    ways = {"readable": headers, "durable": f"{headers}Prefer: respond-async\r\n"}
    gateways = {way: Gateways(processes, None, PATH, bodies, sent) for way, sent in ways.items()}
    account, rows = Customer(), []
    for number in range(rounds):
        for at_once in CONNECTIONS:
            for way, pusher in gateways.items():
                outcome = pusher.push(at_once, seconds)
                rows.append((f"{way}, {at_once} at once, round {number + 1}", *_figures(outcome)))
                print(*rows[-1], flush=True)
                for body in outcome.taken:
                    account.add(batches[body.content].account)
    print_table(("pushes of ten rows", "per second", "CPU ms each", "p50 ms", "p99 ms", "refused"), rows)
    return account


def some_batches() -> list[Batch]:
    """Batches of rows for ``PATH``."""
    dice = random.Random(0)
    domains = [f"site-{number}.example" for number in range(DOMAINS)]
    made = (make_batch(dice, domains, ROWS) for _ in range(2 * BODIES))
    return [batch for batch in made if batch.path == PATH]


def _figures(outcome: PushTotals) -> tuple[str, ...]:
    done = outcome.statuses[204]
    return (
        f"{done / outcome.seconds:,.0f}",
        f"{outcome.cpu_seconds * 1000 / max(1, done):.1f}",
        *(f"{percentile(outcome.milliseconds, percent):.0f}" for percent in (50, 99)),
        str(sum(outcome.statuses.values()) - done),
    )


if __name__ == "__main__":
    main()
