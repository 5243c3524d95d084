"""Trees over the items of lists: sums of all items but some, without subtraction.

The items of a list are the leaves of a tree, each of whose nodes has two to
:data:`ARITY` children, as many as its neighbours or one more or less. A node has an
*inner* sum, over the leaves below it, and an *outer* sum, over all others: that of its
parent and the inner sums of its siblings.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit, jit_inlined
from pyg_hag.utils.arrays import I32, I64

ARITY = 4
"""The largest number of children of a node."""
MAX_LEVELS = 34
"""Of a tree of fewer than 2**31 leaves, whose nodes have two children at least."""


class Forest(NamedTuple):
    """A tree over each list, and the numbers of its sums among the new items.

    Attributes:
        ptr: List m has the leaves `leaf[ptr[m] : ptr[m + 1]]`, `[num_lists + 1]`.
        leaf: The items that are the leaves.
        inner: The number of the first inner sum of each tree, of those above the
            leaves; they go on level by level, up to the root, `[num_lists + 1]`.
        outer: The number of the first outer sum of each tree, of the nodes below the
            root and above the leaves; they go on level by level, downwards,
            `[num_lists + 1]`. Those of leaves, each of which hardly more than one row
            reads, are listed by the rows.
    """

    ptr: I64
    leaf: I32
    inner: I64
    outer: I64


@jit_inlined
def above(count: int) -> int:
    """The number of nodes in the level above one of `count` nodes."""
    return (count + ARITY - 1) // ARITY


@jit_inlined
def parent(node: int, count: int, parents: int) -> int:
    """The parent of a node in a level of `count` nodes, below one of `parents`."""
    return node * parents // count


@jit_inlined
def first_child(node: int, count: int, parents: int) -> int:
    """The first child of a node in a level of `parents`, above one of `count`."""
    return (node * count + parents - 1) // parents


@jit
def levels(count: int, sizes: I64) -> int:
    """Writes the sizes of the levels of a tree, and returns their number."""
    sizes[0] = count
    height = 1
    while sizes[height - 1] > 1:
        sizes[height] = above(sizes[height - 1])
        height += 1
    return height


@jit
def plant(ptr: I64, leaf: I32, first_item: int) -> tuple[Forest, int]:
    """Numbers the sums of a tree over each list.

    Args:
        ptr: Where the items of each list start, `[num_lists + 1]`.
        leaf: The items.
        first_item: The number of the first new item.

    Returns:
        The trees, and the number of the first item that is not theirs.
    """
    num_lists = ptr.size - 1
    inner = np.zeros(num_lists + 1, np.int64)
    outer = np.zeros(num_lists + 1, np.int64)
    inner[0] = first_item
    for m in range(num_lists):
        nodes, count = 0, ptr[m + 1] - ptr[m]
        while count > 1:
            count = above(count)
            nodes += count
        inner[m + 1] = inner[m] + nodes
    outer[0] = inner[num_lists]
    for m in range(num_lists):
        outer[m + 1] = outer[m] + max(0, inner[m + 1] - inner[m] - 1)
    return Forest(ptr, leaf, inner, outer), outer[num_lists]


@jit
def write_sums(forest: Forest, counts: I32, inputs: I32) -> int:
    """Writes the inputs of all sums of the trees, in the order of their numbers.

    Args:
        forest: The trees.
        counts: The number of inputs of each sum, written, `[num_sums]`.
        inputs: The inputs, written; there must be room.

    Returns:
        The number of inputs.
    """
    sizes = np.empty(MAX_LEVELS, np.int64)
    k, n = 0, 0
    num_lists = forest.ptr.size - 1
    for m in range(num_lists):
        height = levels(forest.ptr[m + 1] - forest.ptr[m], sizes)
        for level in range(1, height):
            count, parents = sizes[level - 1], sizes[level]
            for p in range(parents):
                begin = n
                for c in range(
                    first_child(p, count, parents), first_child(p + 1, count, parents)
                ):
                    inputs[n] = inner_item(forest, m, sizes, level - 1, c)
                    n += 1
                counts[k] = n - begin
                k += 1
    for m in range(num_lists):
        height = levels(forest.ptr[m + 1] - forest.ptr[m], sizes)
        for level in range(height - 2, 0, -1):
            count, parents = sizes[level], sizes[level + 1]
            for node in range(count):
                begin = n
                p = parent(node, count, parents)
                if level < height - 2:
                    inputs[n] = outer_item(forest, m, sizes, height, level + 1, p)
                    n += 1
                for c in range(
                    first_child(p, count, parents), first_child(p + 1, count, parents)
                ):
                    if c != node:
                        inputs[n] = inner_item(forest, m, sizes, level, c)
                        n += 1
                counts[k] = n - begin
                k += 1
    return n


@jit
def inner_item(forest: Forest, m: int, sizes: I64, level: int, node: int) -> int:
    """The item that is the sum of the leaves below a node of tree m."""
    if level == 0:
        return np.int64(forest.leaf[forest.ptr[m] + node])
    first = forest.inner[m]
    for i in range(1, level):
        first += sizes[i]
    return first + node


@jit
def outer_item(
    forest: Forest, m: int, sizes: I64, height: int, level: int, node: int
) -> int:
    """The item that is the sum of the leaves of tree m that are not below a node."""
    if level == height - 2 and sizes[level] == 2:  # its only sibling
        return inner_item(forest, m, sizes, level, 1 - node)
    first = forest.outer[m]
    for i in range(height - 2, level, -1):
        first += sizes[i]
    return first + node


@jit
def root_item(forest: Forest, m: int) -> int:
    """The item that is the sum of list m, which is not empty."""
    if forest.ptr[m + 1] - forest.ptr[m] == 1:
        return np.int64(forest.leaf[forest.ptr[m]])
    return forest.inner[m + 1] - 1


@jit
def write_others(forest: Forest, m: int, left_out: I64, sizes: I64, out: I64) -> int:
    """Writes items that together are list m without some leaves.

    Args:
        forest: The trees.
        m: The list.
        left_out: The places of these leaves in the list, ascending, at least one;
            changed.
        sizes: Scratch, `[MAX_LEVELS]`.
        out: The items, written.

    Returns:
        Their number, or -1 if there are more than fit into `out`.
    """
    height = levels(forest.ptr[m + 1] - forest.ptr[m], sizes)
    marked = left_out.size
    n = 0
    for level in range(height - 1):
        if marked == 1 and level > 0:
            if n == out.size:
                return -1
            out[n] = outer_item(forest, m, sizes, height, level, left_out[0])
            return n + 1
        count, parents = sizes[level], sizes[level + 1]
        i, above_marked = 0, 0
        while i < marked:
            p = parent(left_out[i], count, parents)
            for c in range(
                first_child(p, count, parents), first_child(p + 1, count, parents)
            ):
                if i < marked and left_out[i] == c:
                    i += 1
                elif n == out.size:
                    return -1
                else:
                    out[n] = inner_item(forest, m, sizes, level, c)
                    n += 1
            left_out[above_marked] = p
            above_marked += 1
        marked = above_marked
    return n
