"""The module of the options in version 0.1.0, for transforms that it has pickled."""

from pyg_hag.search.options import SearchOptions as Options

__all__ = ["Options"]
