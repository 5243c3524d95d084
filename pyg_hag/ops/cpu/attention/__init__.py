"""Attention over the edges of a graph, row by row, with nothing kept per edge."""
