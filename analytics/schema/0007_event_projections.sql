-- Sums of events by the minute, beside the events of each part: a long range reads those instead of every event. The
-- engine keeps them with the part, so they are as exact as the events, and are deleted and repeated with them.

ALTER TABLE {database}.events ADD PROJECTION IF NOT EXISTS minutes_by_consumer
(
    SELECT
        application_id,
        toStartOfMinute(ts),
        consumer_id,
        count(),
        sum(response_us),
        min(response_us),
        max(response_us)
    GROUP BY application_id, toStartOfMinute(ts), consumer_id
);

ALTER TABLE {database}.events ADD PROJECTION IF NOT EXISTS minutes_by_function
(
    SELECT
        application_id,
        toStartOfMinute(ts),
        function,
        method,
        status_code,
        count(),
        sum(response_us),
        min(response_us),
        max(response_us)
    GROUP BY application_id, toStartOfMinute(ts), function, method, status_code
);

-- For events that are there already, in the background: until then they are read themselves.
ALTER TABLE {database}.events MATERIALIZE PROJECTION minutes_by_consumer SETTINGS mutations_sync = 0;

ALTER TABLE {database}.events MATERIALIZE PROJECTION minutes_by_function SETTINGS mutations_sync = 0;
