"""Byteful's daily summaries by proxy user, network and, for ninety days, host name."""
