"""Buckets of traffic: the FonProxy Analytics API."""
