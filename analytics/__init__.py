"""What proxies carried: its intake, and the analytics read back from ClickHouse."""
