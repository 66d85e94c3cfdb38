"""Alerts: evaluation, firing exactly once, delivery at least once."""
