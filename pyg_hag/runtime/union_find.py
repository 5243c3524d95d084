"""Disjoint sets of numbers (union-find), for jitted code.

`parent[i]` leads to the root of the set of i, which is its smallest number.
"""

from typing import Any

from pyg_hag.runtime.jit import jit


@jit
def find(parent: Any, i: int) -> int:
    """The root of the set of i, with path halving; `parent` is `[num_items]`."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def union(parent: Any, root: int, i: int) -> int:
    """Merges the set with this root and that of i; returns the new root."""
    other = find(parent, i)
    if other < root:
        root, other = other, root
    parent[other] = root
    return root
