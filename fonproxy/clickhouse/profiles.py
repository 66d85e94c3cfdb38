"""Limits per kind of work, and the settings that must not depend on the engine's version."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from fonproxy.logs import request_id
from fonproxy.units import GIB

_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Profile:
    """A name and the settings sent with every call made under it."""

    name: str
    settings: tuple[tuple[str, int | str], ...]


# Their defaults changed between versions of the engine, or may be changed by an operator.
ALWAYS: Final[tuple[tuple[str, int | str], ...]] = (
    ("timeout_overflow_mode", "throw"),
    ("session_timezone", "UTC"),
    ("join_use_nulls", 0),
    ("use_query_cache", 0),
    # On a cluster: rows are on their shards when an insert returns, not in a queue beside them.
    ("distributed_foreground_insert", 1),
    # All of an account's rows are on one shard: the others are not asked, and a sub-query stays there.
    ("optimize_skip_unused_shards", 1),
    ("distributed_product_mode", "local"),
    # Of a shard's replicas, the same one is written and read while it lives: another may lack the newest rows for a
    # moment, and what has just been counted would seem to be gone.
    ("load_balancing", "in_order"),
    ("prefer_localhost_replica", 0),
    # Fail rather than return a result without some accounts.
    ("skip_unavailable_shards", 0),
)

# A user waits for the response: fail after 30 seconds rather than block a thread.
READ: Final = Profile(
    "read",
    (
        *ALWAYS,
        ("max_execution_time", 30),
        ("max_memory_usage", GIB),
        # Requests run beside one another already; more threads per query made the sum of them slower.
        ("max_threads", 1),
        ("max_result_rows", 1_000_000),
        ("result_overflow_mode", "throw"),
        ("readonly", 1),
    ),
)

# Reads that scan much, of which few run at once: with half the time and memory they leave room for others.
HEAVY: Final = Profile(
    "heavy", tuple({**dict(READ.settings), "max_execution_time": 15, "max_memory_usage": GIB // 2}.items())
)

# Long queries over all accounts in the background.
BACKGROUND: Final = Profile(
    "background",
    (*ALWAYS, ("max_execution_time", 600), ("max_memory_usage", 2 * GIB), ("max_threads", 2), ("readonly", 1)),
)

# No time limit: an interrupted schema change would have to be repeated.
MIGRATE: Final = Profile(
    "migrate",
    (
        *ALWAYS,
        ("max_execution_time", 0),
        ("max_memory_usage", 2 * GIB),
        # A part remembers when its rows expire. Left as it was, it would lose them at the old time, although they
        # are now to be kept for longer.
        ("materialize_ttl_after_modify", 1),
        # Waits for every replica, so that erased rows are gone when the statement returns.
        ("mutations_sync", 2),
        ("distributed_ddl_task_timeout", 3600),
    ),
)

# A whole table, once. A shard of a cluster answers for its own rows, which the caller adds up: no server has to put
# together what several of them hold.
BLOCK_ROWS: Final = 100_000
MOVE: Final = Profile(
    "move",
    (
        *ALWAYS,
        ("max_execution_time", 0),
        ("max_memory_usage", 2 * GIB),
        ("max_threads", 2),
        ("max_block_size", BLOCK_ROWS),
        ("distributed_group_by_no_merge", 1),
        # A partition is part of every key: rows of two partitions never collapse.
        ("do_not_merge_across_partitions_select_final", 1),
        ("readonly", 1),
    ),
)

# One INSERT must be one block in every target, the same one on every retry, because the engine
# recognises a repeated batch by its token and the number of the block.
INGEST: Final = Profile(
    "ingest",
    (
        *ALWAYS,
        # A stuck insert must not block ingest for ever; an interrupted one is repeated under the same token.
        ("max_execution_time", 300),
        ("max_memory_usage", 2 * GIB),
        # Collecting rows of several clients would mix their tokens.
        ("async_insert", 0),
        # Older engines know only the second switch, newer ones put the first before it.
        ("insert_deduplicate", 1),
        ("deduplicate_blocks_in_dependent_materialized_views", 1),
        # A batch is never cut: at most 100,000 rows and about 100 MB come in one Arrow record batch.
        ("max_insert_block_size", 1_048_576),
        ("min_insert_block_size_rows", 1_048_576),
        ("min_insert_block_size_bytes", GIB),
        ("max_block_size", 1_048_576),
        ("preferred_block_size_bytes", 0),
        # One thread writes one block after another, so that a retry meets the same order.
        ("max_threads", 1),
        ("max_insert_threads", 1),
        ("parallel_view_processing", 0),
        ("input_format_parallel_parsing", 0),
        # Rows of one key collapse when parts are merged. Doing it to each block first took half of an insert's time.
        ("optimize_on_insert", 0),
        # A view that fails must fail the batch: it is repeated as a whole.
        ("materialized_views_ignore_errors", 0),
        ("throw_on_max_partitions_per_insert_block", 1),
        # Imported history may touch every month since 2000; what is pushed touches those of the retention.
        ("max_partitions_per_insert_block", 1000),
    ),
)


def log_comment(tag: str) -> str:
    """The comment in the engine's query log: the tag of the code and the request id."""
    if not tag:
        raise ValueError("A query needs a tag that says which code asks.")
    return json.dumps({"tag": tag, "request_id": request_id.get()})


def identifier(name: str) -> str:
    """The name of a table, column or database, for SQL text; ValueError for anything that is not plainly one."""
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"Not the name of a table or column: {name!r}.")
    return name


def settings_clause(settings: tuple[tuple[str, int | str], ...]) -> str:
    """``a = 1, b = 'x'`` for a SETTINGS clause."""
    return ", ".join(f"{name} = {literal(value)}" for name, value in settings)


def literal(value: int | str) -> str:
    """A number or a string as SQL text."""
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
