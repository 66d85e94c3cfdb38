"""The production processes on private services: see ``topology``."""
