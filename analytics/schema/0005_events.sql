-- Events of our customers' own APIs, one row each. Every question is about one application and a time; the id tells
-- apart what happened in the same second, so that an export can go on from any row.
CREATE TABLE IF NOT EXISTS {database}.events
(
    application_id UInt64,
    ts DateTime('UTC'),
    event_id UUID,
    user_id UInt64,
    consumer_id String,
    method LowCardinality(String),
    url String,
    function String,
    response_us UInt64,
    status_code UInt32,
    rows UInt64 DEFAULT 1,
    count UInt64 DEFAULT 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (application_id, ts, event_id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;
