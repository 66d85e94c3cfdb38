"""Squid: its log, its helper protocols and its cache manager."""
