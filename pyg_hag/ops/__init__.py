"""Operators: from a HAG and features to features."""

from pyg_hag.ops.aggregate import aggregate

__all__ = ["aggregate"]
