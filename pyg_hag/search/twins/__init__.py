"""Twins: rows, items and nodes that the search need not tell apart."""
