-- Single requests. Each is pushed once, into `request_inbox`, is kept for a week as it is, and goes on into `inbox`, where
-- it counts as a line of one request in everything that is added up.

CREATE TABLE IF NOT EXISTS {database}.request_inbox
(
    log_id String,
    at_ms Int64,
    user_id UInt64,
    order_id UInt64,
    network LowCardinality(String),
    proxy_user_id UInt64,
    protocol LowCardinality(String),
    method LowCardinality(String),
    hostname String,
    status_code UInt32,
    error String,
    session_id String,
    bytes_sent UInt64,
    bytes_received UInt64,
    elapsed_ms Nullable(UInt64),
    concurrency Nullable(UInt64),
    authentication_type Nullable(UInt64),
    client_address String,
    local_address String,
    local_port UInt32,
    egress_address String,
    country LowCardinality(String),
    city LowCardinality(String),
    asn UInt64,
    recent UInt8
)
ENGINE = Null;

-- Days as partitions: a week of them, and client addresses go when we said they would. An id holds the millisecond of
-- its request, so that whoever has the id has the key.
CREATE TABLE IF NOT EXISTS {database}.requests
(
    log_id UUID,
    ts DateTime64(3, 'UTC'),
    user_id UInt64,
    order_id UInt64,
    network LowCardinality(String),
    proxy_user_id UInt64,
    protocol LowCardinality(String),
    method LowCardinality(String),
    hostname String,
    status_code UInt32,
    error String,
    session_id String,
    bytes_sent UInt64,
    bytes_received UInt64,
    elapsed_ms Nullable(UInt64),
    concurrency Nullable(UInt64),
    authentication_type Nullable(UInt64),
    client_address String,
    local_address String,
    local_port UInt32,
    egress_address String,
    country LowCardinality(String),
    city LowCardinality(String),
    asn UInt64,
    rows UInt64,
    count UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (user_id, ts, log_id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.requests_view TO {database}.requests AS
SELECT
    toUUID(log_id) AS log_id,
    fromUnixTimestamp64Milli(at_ms, 'UTC') AS ts,
    user_id,
    order_id,
    network,
    proxy_user_id,
    protocol,
    method,
    hostname,
    status_code,
    error,
    session_id,
    bytes_sent,
    bytes_received,
    elapsed_ms,
    concurrency,
    authentication_type,
    client_address,
    local_address,
    local_port,
    egress_address,
    country,
    city,
    asn,
    toUInt64(1) AS rows,
    toUInt64(1) AS count
FROM {database}.request_inbox;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.request_traffic_view TO {database}.inbox AS
SELECT
    toDateTime(intDiv(at_ms, 1000), 'UTC') AS ts,
    user_id,
    order_id,
    network,
    proxy_user_id,
    country,
    local_port AS port,
    protocol,
    egress_address AS ip_out,
    client_address AS ip_from,
    '' AS peer_id,
    '' AS worker,
    hostname AS domain,
    error,
    toUInt64(1) AS count,
    bytes_sent,
    bytes_received,
    toUInt64(error != '') AS error_count,
    ifNull(elapsed_ms, 0) AS duration_ms,
    ifNull(concurrency, 0) AS max_concurrency,
    recent
FROM {database}.request_inbox;
