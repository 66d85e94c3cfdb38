-- History of a provider that moves in: older than the usual tables keep, so it goes to those that keep rows for ever.

CREATE TABLE IF NOT EXISTS {database}.history_inbox AS {database}.inbox
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.history_order_traffic_view TO {database}.order_traffic AS
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
FROM {database}.history_inbox;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.history_daily_network_view TO {database}.daily_network AS
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
FROM {database}.history_inbox;
