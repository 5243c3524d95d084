"""The weights of a HAG that stands for a weighted adjacency matrix."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_hag.graph.weights import factors_of, floating_dtype
from pyg_hag.utils.tensors import equal

COUNT, COVER = "count", "cover"
"""The values of :attr:`EdgeWeights.of_paths`, but the empty one."""


class EdgeWeights(NamedTuple):
    r"""Weights of the edges of a graph.

    The edge from u to v weighs :math:`a_u b_v`, or has a weight of its own, or it
    stands for all paths from u to v (:attr:`of_paths`).
    """

    src_scale: Tensor | None
    """The factors a, `[num_src]`."""
    dst_scale: Tensor | None
    """The factors b, `[num_dst]`."""
    edge_weight: Tensor | None
    """Weights that are not such products, `[num_edges]`, as the edges were given."""
    is_optional: bool
    """Whether layers that take no `edge_weight` ignore them, as PyG's do with the
    values of a `torch_sparse.SparseTensor`."""
    is_integral: bool = False
    """Whether they were whole numbers, such as the types of edges, which layers that
    need edges get back."""
    of_paths: str = ""
    """What several paths from u to v are, if not an edge each: with `"count"`, one edge
    that weighs their number; with `"cover"`, one edge that weighs 1."""

    @classmethod
    def counts(cls) -> "EdgeWeights":
        """One edge where there is a path, which weighs the number of paths."""
        return cls(None, None, None, False, False, COUNT)

    @classmethod
    def cover(cls) -> "EdgeWeights":
        """One edge where there is a path, which weighs 1: for maxima and minima."""
        return cls(None, None, None, False, False, COVER)

    def t(self) -> "EdgeWeights":
        """The weights of the graph with every edge reversed."""
        return self._replace(src_scale=self.dst_scale, dst_scale=self.src_scale)

    def to(self, device: torch.device | str | int) -> "EdgeWeights":
        """The weights on a device."""
        a, b, weight = (None if t is None else t.to(device) for t in self[:3])
        return self._replace(src_scale=a, dst_scale=b, edge_weight=weight)

    def of_edges(self, edge_index: Tensor) -> Tensor:
        """The weight of each edge."""
        if self.edge_weight is not None:
            return self.edge_weight
        assert not self.of_paths, "known to the HAG: 'edge_weight_of_any_order'"
        assert self.src_scale is not None and self.dst_scale is not None
        return self.src_scale[edge_index[0]] * self.dst_scale[edge_index[1]]


def read_weights(
    edge_index: Tensor, weight: Tensor, size: tuple[int, int], is_optional: bool = False
) -> tuple[EdgeWeights, str]:
    """Factors weights where that is possible.

    Args:
        edge_index: The edges, `[2, num_edges]`.
        weight: Their weights, `[num_edges]`.
        size: `(num_src, num_dst)`.
        is_optional: See :class:`EdgeWeights`.

    Returns:
        tuple: The weights, and why they have no factors, `""` if they have.
    """
    is_integral = not weight.is_floating_point()
    weight = weight.to(floating_dtype(weight))
    if weight.requires_grad:
        a, b, error = None, None, "requires a gradient"
    else:
        a, b, error = factors_of(edge_index, weight, size)
    if error:
        return EdgeWeights(None, None, weight, is_optional, is_integral), error
    return EdgeWeights(a, b, None, is_optional, is_integral), ""


def same_weights(a: EdgeWeights | None, b: EdgeWeights | None) -> bool:
    """Whether two HAGs have the same weights."""
    if a is None or b is None:
        return a is b
    return a.of_paths == b.of_paths and all(
        x is y or (x is not None and y is not None and equal(x, y))
        for x, y in zip(a[:3], b[:3], strict=True)
    )
