"""Ingest of traffic, requests and events, and the analytics read from ClickHouse."""
