"""Access to ClickHouse: client, limits, schema migrations and retention."""
