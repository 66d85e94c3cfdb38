"""Byteful's graph and breakdown: traffic of any age, from the smallest table that still holds it."""
