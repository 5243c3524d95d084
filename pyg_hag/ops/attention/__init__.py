"""Softmax-weighted sums over the edges of a graph, with nothing kept per edge."""

from pyg_hag.ops.attention.operator import attention
from pyg_hag.ops.attention.scores import Scores

__all__ = ["Scores", "attention"]
