-- Traffic. Every row is pushed once, into `inbox`, and the views below fan it out.
--
-- Rules of every target:
--   * all dimensions are in ORDER BY, all measures in the list of SummingMergeTree: what is in neither
--     is silently kept from one of the merged rows;
--   * `rows` counts what was pushed. It is never zero, and SummingMergeTree deletes rows whose listed sums are all zero;
--   * the deduplication window lets a batch be repeated under its token without changing anything;
--   * partitions are months, or days where rows live a day: a batch over the whole retention must stay below
--     the engine's 100 partitions per insert.
-- Views only rename and round: grouping is left to the engine, which collapses equal keys when it merges parts.
-- How long rows are kept is declared in fonproxy/clickhouse/retention.py.

CREATE TABLE IF NOT EXISTS {database}.inbox
(
    ts DateTime('UTC'),
    user_id UInt64,
    order_id UInt64,
    network LowCardinality(String),
    proxy_user_id UInt64,
    country LowCardinality(String),
    port UInt32,
    protocol LowCardinality(String),
    ip_out String,
    ip_from String,
    peer_id String,
    worker String,
    domain String,
    error String,
    count UInt64,
    bytes_sent UInt64,
    bytes_received UInt64,
    error_count UInt64,
    duration_ms UInt64,
    max_concurrency UInt64,
    -- 1 when the row is young enough for minute_traffic. The application decides: a view that asked for the time
    -- would give another answer when the batch is repeated.
    recent UInt8
)
ENGINE = Null;

-- Charts with any filter. One account's range first; then from the filter that leaves most rows out to the one
-- that leaves fewest, and the two long texts last.
CREATE TABLE IF NOT EXISTS {database}.traffic
(
    user_id UInt64,
    bucket DateTime('UTC'),
    order_id UInt64,
    network LowCardinality(String),
    proxy_user_id UInt64,
    country LowCardinality(String),
    domain String,
    error String,
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
ORDER BY (user_id, bucket, order_id, network, proxy_user_id, country, domain, error)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.traffic_view TO {database}.traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(ts) AS bucket,
    order_id,
    network,
    proxy_user_id,
    country,
    domain,
    error,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.inbox;

-- Charts without a domain filter, usage, alerts and ledgers: a hundredth of the rows of traffic, kept for ever.
CREATE TABLE IF NOT EXISTS {database}.order_traffic
(
    user_id UInt64,
    bucket DateTime('UTC'),
    order_id UInt64,
    country LowCardinality(String),
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
ORDER BY (user_id, bucket, order_id, country)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.order_traffic_view TO {database}.order_traffic AS
SELECT
    user_id,
    toStartOfFifteenMinutes(ts) AS bucket,
    order_id,
    country,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.inbox;

-- The last day in minutes: live charts. Workers last: concurrency is summed over them, never filtered by them.
CREATE TABLE IF NOT EXISTS {database}.minute_traffic
(
    user_id UInt64,
    minute DateTime('UTC'),
    order_id UInt64,
    country LowCardinality(String),
    worker String,
    rows UInt64,
    count UInt64,
    bytes_sent UInt64,
    bytes_received UInt64,
    error_count UInt64,
    duration_ms UInt64,
    max_concurrency SimpleAggregateFunction(max, UInt64)
)
ENGINE = SummingMergeTree((rows, count, bytes_sent, bytes_received, error_count, duration_ms, max_concurrency))
PARTITION BY toYYYYMMDD(minute)
ORDER BY (user_id, minute, order_id, country, worker)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.minute_traffic_view TO {database}.minute_traffic AS
SELECT
    user_id,
    toStartOfMinute(ts) AS minute,
    order_id,
    country,
    worker,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.inbox
WHERE recent;

-- Daily summaries by host name. Expired rows are rewritten away, not kept until their month is over:
-- the names of visited hosts go when we said they would.
CREATE TABLE IF NOT EXISTS {database}.daily_host
(
    user_id UInt64,
    day Date,
    proxy_user_id UInt64,
    network LowCardinality(String),
    hostname String,
    rows UInt64,
    count UInt64,
    bytes_sent UInt64,
    bytes_received UInt64,
    error_count UInt64,
    duration_ms UInt64,
    max_concurrency SimpleAggregateFunction(max, UInt64)
)
ENGINE = SummingMergeTree((rows, count, bytes_sent, bytes_received, error_count, duration_ms, max_concurrency))
PARTITION BY toYYYYMM(day)
ORDER BY (user_id, day, proxy_user_id, network, hostname)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.daily_host_view TO {database}.daily_host AS
SELECT
    user_id,
    toDate(ts) AS day,
    proxy_user_id,
    network,
    domain AS hostname,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.inbox;

-- The same summaries without the host name, kept for ever.
CREATE TABLE IF NOT EXISTS {database}.daily_network
(
    user_id UInt64,
    day Date,
    proxy_user_id UInt64,
    network LowCardinality(String),
    rows UInt64,
    count UInt64,
    bytes_sent UInt64,
    bytes_received UInt64,
    error_count UInt64,
    duration_ms UInt64,
    max_concurrency SimpleAggregateFunction(max, UInt64)
)
ENGINE = SummingMergeTree((rows, count, bytes_sent, bytes_received, error_count, duration_ms, max_concurrency))
PARTITION BY toYYYYMM(day)
ORDER BY (user_id, day, proxy_user_id, network)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.daily_network_view TO {database}.daily_network AS
SELECT
    user_id,
    toDate(ts) AS day,
    proxy_user_id,
    network,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.inbox;

-- Staff only: which account used this exit address then. The one table that starts with an address and spans accounts.
-- It holds client addresses, so expired rows are rewritten away as in daily_host.
CREATE TABLE IF NOT EXISTS {database}.traffic_detail
(
    ip_out IPv6,
    bucket DateTime('UTC'),
    user_id UInt64,
    order_id UInt64,
    proxy_user_id UInt64,
    country LowCardinality(String),
    network LowCardinality(String),
    ip_from IPv6,
    port UInt32,
    protocol LowCardinality(String),
    peer_id String,
    worker String,
    domain String,
    error String,
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
ORDER BY (
    ip_out, bucket, user_id, order_id, proxy_user_id, country, network, ip_from, port, protocol, peer_id, worker, domain, error
)
SETTINGS non_replicated_deduplication_window = 10000, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.traffic_detail_view TO {database}.traffic_detail AS
SELECT
    toIPv6OrDefault(ip_out) AS ip_out,
    toStartOfFifteenMinutes(ts) AS bucket,
    user_id,
    order_id,
    proxy_user_id,
    country,
    network,
    toIPv6OrDefault(ip_from) AS ip_from,
    port,
    protocol,
    peer_id,
    worker,
    domain,
    error,
    toUInt64(1) AS rows,
    count,
    bytes_sent,
    bytes_received,
    error_count,
    duration_ms,
    max_concurrency
FROM {database}.inbox;
