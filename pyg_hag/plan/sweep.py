"""How attention sweeps a HAG: aggregates with leaves and readers, in separate parts."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.plan.sweep_lists import (
    Lists,
    by_node,
    choose,
    components,
    inverted,
    leaf_lists,
    middles,
    node_middles,
    packed_parts,
    read_lists,
    rearranged,
)
from pyg_hag.utils.arrays import I32, I64, pointers

FACTOR = 1.0
"""What a leaf or a reader of a swept aggregate costs, in reads of an input."""
PART = 1 << 15
"""Leaves, readers, direct edges and nodes in a part of several components."""


@dataclass(frozen=True, eq=False)
class Side:
    """What a sweep takes in, and where it goes: from sources to destinations, or back.

    Nodes are in the order of their parts, and numbered in their part.

    Attributes:
        in_nodes: The node at each place, `[num_in]`.
        out_nodes: The node at each place, `[num_out]`.
        in_aggs: The aggregates that take each node in.
        out_aggs: The aggregates that go to each node.
        out_slots: The place of each entry of `out_aggs` in `readers`.
        readers: The nodes that each aggregate goes to.
        direct: The nodes that go to each node without an aggregate.
        agg_ptr: Where the nodes that each aggregate takes in start.
        in_component: The component of each node, `[num_in]`.
        out_component: The component of each node, `[num_out]`.
        in_middle: Where the aggregates of the second half of its part start in those
            of each node, `[num_in]`.
        out_middle: The same for `out_aggs`, `[num_out]`.
        parts: The first in-node, out-node, aggregate and component of each part, and
            the first aggregate of its second half, `[num_parts + 1, 5]`.
    """

    in_nodes: I32
    out_nodes: I32
    in_aggs: Lists
    out_aggs: Lists
    out_slots: I32
    readers: Lists
    direct: Lists
    agg_ptr: I64
    in_component: I32
    out_component: I32
    in_middle: I64
    out_middle: I64
    parts: I64

    @cached_property
    def sizes(self) -> I64:
        """The sizes of each part, `[num_parts, 7]`.

        In-nodes, out-nodes, aggregates and components, then entries of `in_aggs`,
        `out_aggs` and `direct`.
        """
        in_, out = self.parts[:, 0], self.parts[:, 1]
        entries = self.in_aggs[0][in_], self.out_aggs[0][out], self.direct[0][out]
        return np.diff(np.stack([*self.parts.T[:4], *entries], 1), axis=0)

    @cached_property
    def work(self) -> I64:
        """What each part costs, `[num_parts]`."""
        sizes = self.sizes
        work: I64 = sizes[:, :2].sum(1) + sizes[:, 4:].sum(1)
        return work

    @property
    def arrays(self) -> list[I32 | I64]:
        """The arrays, in the order of the fields."""
        nodes = self.in_nodes, self.out_nodes, *self.in_aggs, *self.out_aggs
        middles = self.in_middle, self.out_middle
        found = self.in_component, self.out_component, *middles, self.parts
        readers = self.out_slots, *self.readers
        return [*nodes, *readers, *self.direct, self.agg_ptr, *found]


@dataclass(frozen=True, eq=False)
class SweepPlan:
    """What attention computes of a HAG.

    Attributes:
        forward: From sources to destinations.
        backward: From destinations to sources.
        leaves: The leaves of each aggregate, numbered in their part.
        num_edges: Number of edges of the graph.
    """

    forward: Side
    backward: Side
    leaves: Lists
    num_edges: int

    @property
    def num_aggregates(self) -> int:
        """Number of aggregates that are swept."""
        return self.leaves[0].size - 1

    @property
    def num_leaves(self) -> int:
        """Number of leaves of all aggregates that are swept."""
        return self.leaves[1].size

    @property
    def num_readers(self) -> int:
        """Number of readers of all aggregates that are swept."""
        return self.forward.out_aggs[1].size

    @property
    def num_direct(self) -> int:
        """Number of edges that are read without an aggregate."""
        return self.forward.direct[1].size

    @property
    def num_parts(self) -> int:
        """Number of parts, which have no nodes in common."""
        return self.forward.parts.shape[0] - 1


@once_per_hag
def sweep_plan(hag: HAG) -> SweepPlan:
    """The plan for attention over an unsigned HAG, the same for any width."""
    rows, num_src = hag.host.rows, hag.host.num_src
    num_aggs = rows.target.size - hag.host.num_dst
    row_of = np.empty(rows.target.size, np.int64)
    places = np.where(rows.target < 0, ~rows.target, rows.target + num_aggs)
    row_of[places] = np.arange(rows.target.size)
    swept, num_leaves = choose(rows, row_of, num_aggs, FACTOR)
    leaves = leaf_lists(rows, row_of, swept, num_leaves)
    reads, direct = read_lists(rows, row_of, swept)
    return _in_parts(num_src, leaves, reads, direct, hag.host.num_edges)


class _Order:
    """Nodes in the order of their parts.

    Args:
        component: The component of each node.
        part_of: The part of each component.
        first: The first component of each part.
    """

    def __init__(self, component: I64, part_of: I64, first: I64) -> None:
        part = part_of[component]
        self.order = np.argsort(part, kind="stable")
        self.ptr = pointers(np.bincount(part, minlength=first.size - 1))
        self.local = np.empty(part.size, np.int32)
        starts = self.ptr[part[self.order]]
        self.local[self.order] = np.arange(part.size) - starts
        placed = component[self.order]
        self.component = (placed - first[part_of[placed]]).astype(np.int32)
        self.nodes = self.order.astype(np.int32)


def _in_parts(
    num_src: int, leaves: Lists, reads: Lists, direct: Lists, num_edges: int
) -> SweepPlan:
    num_dst, num_aggs = reads[0].size - 1, leaves[0].size - 1
    component = components(num_src, leaves, reads, direct)
    work = np.ones(component.size, np.int64)
    work[num_src : num_src + num_dst] += np.diff(reads[0]) + np.diff(direct[0])
    work[num_src + num_dst :] = np.diff(leaves[0])
    part_of = packed_parts(component, work, PART)
    num_parts = int(part_of.max(initial=-1)) + 1
    first = pointers(np.bincount(part_of, minlength=num_parts))
    ends = num_src, num_src + num_dst
    src, dst, agg = (_Order(c, part_of, first) for c in np.split(component, ends))

    direct_out = rearranged(inverted(*direct, num_src), src.order, dst.local)
    direct = rearranged(direct, dst.order, src.local)
    readers = rearranged(inverted(*reads, num_aggs), agg.order, dst.local)
    leaves = rearranged(leaves, agg.order, src.local)
    to_src = by_node(leaves, agg.ptr, src.ptr)
    to_dst = by_node(readers, agg.ptr, dst.ptr)
    bounds = src.ptr, dst.ptr, agg.ptr, first
    forward = _side(src, dst, to_src, to_dst, leaves, readers, direct, bounds)
    bounds = dst.ptr, src.ptr, agg.ptr, first
    backward = _side(dst, src, to_dst, to_src, readers, leaves, direct_out, bounds)
    return SweepPlan(forward, backward, leaves, num_edges)


def _side(
    ins: _Order,
    outs: _Order,
    to_ins: tuple[I64, I32, I32],
    to_outs: tuple[I64, I32, I32],
    taken: Lists,
    readers: Lists,
    direct: Lists,
    bounds: tuple[I64, I64, I64, I64],
) -> Side:
    """The sweep from nodes that aggregates take in to their readers."""
    middle = middles(taken[0], readers[0], direct[0], bounds[1], bounds[2])
    return Side(
        ins.nodes, outs.nodes, to_ins[:2], to_outs[:2], to_outs[2], readers, direct,
        taken[0], ins.component, outs.component,
        node_middles(*to_ins[:2], bounds[0], middle),
        node_middles(*to_outs[:2], bounds[1], middle),
        np.stack([*bounds, np.append(bounds[2][:-1] + middle, bounds[2][-1:])], 1),
    )  # fmt: skip
