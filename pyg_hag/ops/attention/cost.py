"""Predicted times of attention: of the fused kernel, and of a sweep over a HAG.

Sums of counts, with constants fitted to 112 measurements (ten graphs, seven numbers of
heads and channels, two HAGs each) on two cores of a server with AVX-512, by
non-negative least squares of relative errors. Only their comparison is used.
"""

from pyg_hag.ops.cpu.attention.layout import Layout
from pyg_hag.plan.sweep import SweepPlan

FUSED = {
    "inference": (0.87, 0.22, 0.31, 0.14, 0.29, 6.3),
    "forward": (0.72, 0.35, 0.35, 0.11, 0.59, 10.0),
    "backward": (1.49, 0.51, 0.51, 0.09, 0.70, 11.6),
}
"""Nanoseconds for each edge and group of heads; edge and head; edge and vector, and as
much more where features exceed the second-level cache; feature; and node and head."""
SWEEP = {
    "inference": (25.8, 2.04, 4.16, 0.75, 1.13, 8.2),
    "forward": (25.6, 1.92, 5.13, 0.81, 0.59, 13.9),
    "backward": (21.0, 1.63, 5.26, 0.65, 1.08, 16.8),
}
"""Nanoseconds for each head and node that is sorted; leaf or reader; edge without an
aggregate; then for each piece of channels of a leaf or reader, of such an edge, and of
a node."""
_CACHED = 1 << 21  # bytes
_PIECE = 8  # channels of a head that are summed at a time


def fused_time(plan: SweepPlan, layout: Layout, step: str) -> float:
    """Nanoseconds of the fused kernel.

    Args:
        plan: The graph.
        layout: The heads and channels.
        step: One of :data:`FUSED`.
    """
    edges, nodes = plan.num_edges, plan.forward.in_nodes.size
    vectors = edges * layout.groups * layout.vectors
    features = nodes * layout.columns
    is_large = features * layout.itemsize > _CACHED
    return _sum(
        FUSED[step],
        edges * layout.groups,
        edges * layout.heads,
        vectors,
        vectors * is_large,
        features,
        nodes * layout.heads,
    )


def sweep_time(plan: SweepPlan, layout: Layout, step: str) -> float:
    """Nanoseconds of a sweep; see :func:`fused_time`."""
    heads, ends = layout.num_heads, plan.num_leaves + plan.num_readers
    nodes = plan.forward.out_nodes.size
    pieces = heads * -(-layout.num_channels * layout.itemsize // (4 * _PIECE))
    return _sum(
        SWEEP[step],
        heads * (plan.forward.in_nodes.size + nodes),
        heads * ends,
        heads * plan.num_direct,
        pieces * ends,
        pieces * plan.num_direct,
        pieces * nodes,
    )


def _sum(constants: tuple[float, ...], *counts: float) -> float:
    return sum(c * n for c, n in zip(constants, counts, strict=True))
