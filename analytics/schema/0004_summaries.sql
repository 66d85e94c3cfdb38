-- When rows were taken, and which of them the log of single requests does not hold. Both are told by the application:
-- a view that asked for the time would give another answer when the batch is repeated.

-- The time is that of the epoch for rows that come through the view of single requests, which tells no time: that view
-- stays as it is, since its name is part of what keeps a repeated batch from counting twice, and replacing it would
-- lose what arrives meanwhile.
ALTER TABLE {database}.inbox ADD COLUMN IF NOT EXISTS taken_at DateTime('UTC');
-- 1 when the row was pushed added up, and is young enough for the log to be asked about its time.
ALTER TABLE {database}.inbox ADD COLUMN IF NOT EXISTS unlogged UInt8;
ALTER TABLE {database}.history_inbox ADD COLUMN IF NOT EXISTS taken_at DateTime('UTC');
ALTER TABLE {database}.history_inbox ADD COLUMN IF NOT EXISTS unlogged UInt8;
ALTER TABLE {database}.request_inbox ADD COLUMN IF NOT EXISTS taken_at DateTime('UTC');

-- When the rows of daily_host came to be and were last added to, beside it: SummingMergeTree's list of measures cannot
-- be made longer once a table has rows.
CREATE TABLE IF NOT EXISTS {database}.daily_host_times
(
    user_id UInt64,
    day Date,
    proxy_user_id UInt64,
    network LowCardinality(String),
    hostname String,
    rows SimpleAggregateFunction(sum, UInt64),
    count SimpleAggregateFunction(sum, UInt64),
    created_at SimpleAggregateFunction(min, DateTime('UTC')),
    updated_at SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (user_id, day, proxy_user_id, network, hostname)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.daily_host_times_view TO {database}.daily_host_times AS
SELECT
    user_id,
    toDate(ts) AS day,
    proxy_user_id,
    network,
    domain AS hostname,
    toUInt64(1) AS rows,
    count,
    taken_at AS created_at,
    taken_at AS updated_at
FROM {database}.inbox
WHERE toUnixTimestamp(taken_at) != 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.request_times_view TO {database}.daily_host_times AS
SELECT
    user_id,
    toDate(toDateTime(intDiv(at_ms, 1000), 'UTC')) AS day,
    proxy_user_id,
    network,
    hostname,
    toUInt64(1) AS rows,
    toUInt64(1) AS count,
    taken_at AS created_at,
    taken_at AS updated_at
FROM {database}.request_inbox;

-- What the log does not hold of the time it covers: a chart by the minute from it would leave this out.
CREATE TABLE IF NOT EXISTS {database}.unlogged_traffic
(
    user_id UInt64,
    bucket DateTime('UTC'),
    order_id UInt64,
    rows UInt64,
    count UInt64
)
ENGINE = SummingMergeTree((rows, count))
PARTITION BY toYYYYMM(bucket)
ORDER BY (user_id, bucket, order_id)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.unlogged_traffic_view TO {database}.unlogged_traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(ts) AS bucket,
    order_id,
    toUInt64(1) AS rows,
    count
FROM {database}.inbox
WHERE unlogged;

-- Of what came before, nobody knows how it was pushed: it counts as lacking.
INSERT INTO {database}.unlogged_traffic (user_id, bucket, order_id, rows, count)
SELECT user_id, bucket, order_id, rows, count FROM {database}.order_traffic WHERE bucket >= now() - INTERVAL 8 DAY;
