"""Attention over a HAG by sweeps of its aggregates."""
