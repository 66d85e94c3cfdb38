-- What billing reads for every month that there was: which login and worker carried what, and what arrived late.

-- Kept for ever, as order_traffic is, whose figures it splits. What was pushed before this table was made is in
-- order_traffic alone: reads return the difference under an unknown login or worker.
CREATE TABLE IF NOT EXISTS {database}.login_traffic
(
    user_id UInt64,
    bucket DateTime('UTC'),
    order_id UInt64,
    proxy_user_id UInt64,
    worker LowCardinality(String),
    rows UInt64,
    count UInt64,
    bytes_sent UInt64,
    bytes_received UInt64,
    error_count UInt64,
    duration_ms UInt64,
    max_concurrency SimpleAggregateFunction(max, UInt64)
)
ENGINE = SummingMergeTree((rows, count, bytes_sent, bytes_received, error_count, duration_ms, max_concurrency))
PARTITION BY toYYYYMM(bucket)
ORDER BY (user_id, bucket, order_id, proxy_user_id, worker)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.login_traffic_view TO {database}.login_traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(ts) AS bucket,
    order_id,
    proxy_user_id,
    worker,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.inbox;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.history_login_traffic_view TO {database}.login_traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(ts) AS bucket,
    order_id,
    proxy_user_id,
    worker,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.history_inbox;

-- Rows that were taken more than a day after their bucket had ended, by when: what was told of a closed month changed
-- by these. Requests come through a view that tells no time (0004), so they have a view of their own.
CREATE TABLE IF NOT EXISTS {database}.late_traffic
(
    user_id UInt64,
    bucket DateTime('UTC'),
    order_id UInt64,
    proxy_user_id UInt64,
    worker LowCardinality(String),
    late_at DateTime('UTC'),
    rows UInt64,
    count UInt64
)
ENGINE = SummingMergeTree((rows, count))
PARTITION BY toYYYYMM(bucket)
ORDER BY (user_id, bucket, order_id, proxy_user_id, worker, late_at)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.late_traffic_view TO {database}.late_traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(ts) AS bucket,
    order_id,
    proxy_user_id,
    worker,
    toStartOfFifteenMinutes(taken_at) AS late_at,
    toUInt64(1) AS rows,
    count
FROM {database}.inbox
WHERE toUnixTimestamp(taken_at) >= toUnixTimestamp(toStartOfFifteenMinutes(ts)) + 900 + 86400;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.history_late_traffic_view TO {database}.late_traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(ts) AS bucket,
    order_id,
    proxy_user_id,
    worker,
    toStartOfFifteenMinutes(taken_at) AS late_at,
    toUInt64(1) AS rows,
    count
FROM {database}.history_inbox
WHERE toUnixTimestamp(taken_at) >= toUnixTimestamp(toStartOfFifteenMinutes(ts)) + 900 + 86400;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.request_late_traffic_view TO {database}.late_traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(toDateTime(intDiv(at_ms, 1000), 'UTC')) AS bucket,
    order_id,
    proxy_user_id,
    '' AS worker,
    toStartOfFifteenMinutes(taken_at) AS late_at,
    toUInt64(1) AS rows,
    toUInt64(1) AS count
FROM {database}.request_inbox
WHERE toUnixTimestamp(taken_at) >= toUnixTimestamp(bucket) + 900 + 86400;
