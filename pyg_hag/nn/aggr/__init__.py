"""Aggregators that read neighbours in order, over a sequential HAG."""

from pyg_hag.nn.aggr.lstm import HAGLSTMAggregation

__all__ = ["HAGLSTMAggregation"]
