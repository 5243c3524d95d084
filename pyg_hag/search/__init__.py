"""Search: from a graph to its HAG."""

from pyg_hag.search.build import build_hag
from pyg_hag.search.options import SearchOptions

__all__ = ["SearchOptions", "build_hag"]
