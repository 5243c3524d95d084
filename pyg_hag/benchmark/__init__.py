"""Benchmarks: `python -m pyg_hag.benchmark`."""
