"""The HAG: the container, its properties, and the HAGs that are derived from it."""

from pyg_hag.hag import library
from pyg_hag.hag.abstract import AbstractHAG, Handle
from pyg_hag.hag.arrays import FIELDS
from pyg_hag.hag.container import HAG
from pyg_hag.hag.factory import plain_hag
from pyg_hag.hag.nodes import to_networkx
from pyg_hag.hag.stats import HAGStats

__all__ = [
    "FIELDS",
    "HAG",
    "AbstractHAG",
    "HAGStats",
    "Handle",
    "library",
    "plain_hag",
    "to_networkx",
]
