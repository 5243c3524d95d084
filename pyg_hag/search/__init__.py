"""Search: from a graph to its HAG."""

from pyg_hag.search.build import build_hag
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.product.build import build_hag_of_product

__all__ = ["SearchOptions", "build_hag", "build_hag_of_product"]
