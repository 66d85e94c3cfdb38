"""Telling customers before they run out: what is due, firing once, and delivering until it arrives."""
