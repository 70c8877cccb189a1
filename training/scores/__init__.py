"""Metrics, rows of results, statistics."""
