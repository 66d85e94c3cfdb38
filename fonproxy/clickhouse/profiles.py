"""Limits per kind of query, and settings that must not depend on the engine's version."""

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


# Their defaults changed between versions of the engine, or operators may change them.
ALWAYS: Final[tuple[tuple[str, int | str], ...]] = (
    ("timeout_overflow_mode", "throw"),
    ("session_timezone", "UTC"),
    ("join_use_nulls", 0),
    ("use_query_cache", 0),
    # On a cluster: an insert returns when rows are on their shards, not in a queue.
    ("distributed_foreground_insert", 1),
    # All rows of an account are on one shard, so the others are not queried and sub-queries stay local.
    ("optimize_skip_unused_shards", 1),
    ("distributed_product_mode", "local"),
    # Of a shard's replicas, always the first living one is written and read: another may lack the newest rows for a
    # moment, so rows that were just counted would seem to be missing.
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
        # Requests already run in parallel; more threads per query made them slower in total.
        ("max_threads", 1),
        ("max_result_rows", 1_000_000),
        ("result_overflow_mode", "throw"),
        ("readonly", 1),
    ),
)

# Reads that scan much, of which only a few run at once; half the time and memory leaves room for others.
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
        # Parts store the time when their rows expire. Without rewriting, they would drop rows at the old time after the
        # retention was raised.
        ("materialize_ttl_after_modify", 1),
        # Waits for every replica, so that erased rows are gone when the statement returns.
        ("mutations_sync", 2),
        ("distributed_ddl_task_timeout", 3600),
    ),
)

# A whole table, read once. Each shard of a cluster returns its own rows, which the caller merges, so no server merges
# those of several.
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

# One INSERT must be one block in every target, the same one on every retry, because the engine recognizes a repeated
# batch by its token and the number of the block.
INGEST: Final = Profile(
    "ingest",
    (
        *ALWAYS,
        # A stuck insert must not block ingest for ever; an interrupted one is repeated under the same token.
        ("max_execution_time", 300),
        ("max_memory_usage", 2 * GIB),
        # Merging rows of several clients would mix their tokens.
        ("async_insert", 0),
        # Older engines know only the second setting, newer ones prefer the first.
        ("insert_deduplicate", 1),
        ("deduplicate_blocks_in_dependent_materialized_views", 1),
        # A batch is never split: at most 100,000 rows and about 100 MB come in one Arrow record batch.
        ("max_insert_block_size", 1_048_576),
        ("min_insert_block_size_rows", 1_048_576),
        ("min_insert_block_size_bytes", GIB),
        ("max_block_size", 1_048_576),
        ("preferred_block_size_bytes", 0),
        # One thread writes the blocks in sequence, so that a retry has the same order.
        ("max_threads", 1),
        ("max_insert_threads", 1),
        ("parallel_view_processing", 0),
        ("input_format_parallel_parsing", 0),
        # Rows with one key collapse when parts are merged. Collapsing each block first took half of an insert's time.
        ("optimize_on_insert", 0),
        # A failing view must fail the batch, which is repeated as a whole.
        ("materialized_views_ignore_errors", 0),
        ("throw_on_max_partitions_per_insert_block", 1),
        # Imported history may span every month since 2000; pushed rows span the months of the retention.
        ("max_partitions_per_insert_block", 1000),
    ),
)


def log_comment(tag: str) -> str:
    """The comment in the engine's query log: the tag of the calling code and the request id."""
    if not tag:
        raise ValueError("A query needs a tag that names the calling code.")
    return json.dumps({"tag": tag, "request_id": request_id.get()})


def identifier(name: str) -> str:
    """The name of a table, column or database for SQL text; raises ValueError for any other text."""
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
