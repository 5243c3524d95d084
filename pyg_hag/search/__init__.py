"""Search: from a graph to its HAG."""

from pyg_hag.search.build import build_hag

__all__ = ["build_hag"]
