"""The one door to ClickHouse: a small client, its limits, the schema and how long rows are kept."""
