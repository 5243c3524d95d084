"""The arrays of a HAG on the host, as arguments of jitted functions."""

from typing import NamedTuple

from pyg_hag.utils.arrays import I64


class Flat(NamedTuple):
    """The flat arrays of a HAG: the arguments of :class:`pyg_hag.HAG`."""

    src: I64
    agg: I64
    src_count: I64
    agg_count: I64
    dst: I64
    group_aggs: I64
    group_dsts: I64
    src_minus: I64
    agg_minus: I64


FIELDS = Flat._fields
"""The names of the flat tensors, in the order of :attr:`pyg_hag.HAG.tensors`."""


class Rows(NamedTuple):
    """The rows of a HAG, with pointers to their inputs.

    Row r adds the sources from `src_ptr[r]` to `src_mid[r]` and subtracts those from
    `src_mid[r]` to `src_ptr[r + 1]`; the same holds for aggregates.

    Attributes:
        target: The destination of each row, or `-1 - k` for aggregate k, `[num_rows]`.
        src_ptr: Where the source inputs of each row start, `[num_rows + 1]`.
        src_mid: Where its subtracted source inputs start, `[num_rows]`.
        src: The source inputs of all rows.
        agg_ptr: Where the aggregate inputs of each row start, `[num_rows + 1]`.
        agg_mid: Where its subtracted aggregate inputs start, `[num_rows]`.
        agg: The aggregate inputs of all rows.
    """

    target: I64
    src_ptr: I64
    src_mid: I64
    src: I64
    agg_ptr: I64
    agg_mid: I64
    agg: I64


class PathCounts(NamedTuple):
    """The number and the length of the paths from sources to destinations.

    Attributes:
        degree: Number of paths into each destination, which are its edges, `[num_dst]`.
        depth: Number of aggregates on the longest path from a source to a destination.
        level: The level of each aggregate, starting with 1, `[num_aggregates]`.
    """

    degree: I64
    depth: int
    level: I64
