"""GCN over a HAG."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GCNConv

from pyg_hag.hag import HAG
from pyg_hag.nn.conv._message_passing import (
    HAGMessagePassing,
    closed,
    propagate_hag,
)
from pyg_hag.ops.degrees import degrees


class HAGGCNConv(HAGMessagePassing, GCNConv):
    r"""The graph convolution over a HAG.

    .. math::
        \mathbf{X}^{\prime} = \mathbf{\hat{D}}^{-1/2} \mathbf{\hat{A}}
        \mathbf{\hat{D}}^{-1/2} \mathbf{X} \mathbf{\Theta}

    with :math:`\mathbf{\hat{A}} = \mathbf{A} + \mathbf{I}`, from `Semi-supervised
    Classification with Graph Convolutional Networks
    <https://arxiv.org/abs/1609.02907>`_ (Eq. 2). The weight of an edge is a product
    of its two ends, so neighbourhoods stay shareable: nodes are scaled before and
    after an unweighted sum, and the self-loops that the normalisation adds are
    added in the same pass. The factors are computed once per HAG, whatever `cached`
    says.

    Arguments, parameters and outputs are those of
    :class:`torch_geometric.nn.GCNConv` on an `edge_index` without weights (where
    `improved` makes no difference); `state_dict` loads both ways.

    `forward(x, edge_index)` takes a :class:`pyg_hag.HAG` as well as an `edge_index`.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` and a HAG
        - **output:** node features :math:`(|\mathcal{V}|, F_{out})`

    Raises:
        ValueError: If the HAG does not fit the features, or edge weights come with
            it, or `aggr` is not sum.
    """

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Convolves `x` on the graph of a HAG or of an `edge_index`."""
        hag = edge_index
        if (
            not isinstance(hag, HAG)
            or not self.normalize
            or isinstance(x, tuple | list)
        ):
            return super().forward(x, edge_index, edge_weight)
        if edge_weight is not None:
            raise ValueError(
                "'edge_weight' cannot be used with a HAG, which stands for an "
                "unweighted graph: pass 'edge_index' instead"
            )
        if hag.num_src != hag.num_dst:
            raise ValueError(
                f"'HAGGCNConv' needs as many sources as destinations (got "
                f"{hag.num_src} and {hag.num_dst})"
            )
        if self.aggr not in ("add", "sum"):
            raise ValueError(
                f"'aggr' of 'HAGGCNConv' must be 'add' on a HAG (got {self.aggr!r}): "
                f"pass 'edge_index' instead"
            )
        if self.add_self_loops:  # those that the HAG has need not be added
            hag, _ = closed(hag)
        walked = hag.t() if self.flow == "target_to_source" else hag
        scale, loop = _norm(walked, bool(self.add_self_loops), x.dtype)
        x = self.lin(x)
        out = propagate_hag(self, hag, x, scale, self_scale=loop)
        if self.bias is not None:
            out = out + self.bias
        return out


Norm = tuple[Tensor, Tensor | None]
"""Factors of the nodes, and the weights of the self-loops that are missing, if any."""


def _norm(hag: HAG, loops: bool, dtype: torch.dtype) -> Norm:
    if torch.compiler.is_compiling():
        return _make_norm(hag, loops, dtype)
    return hag._cached(f"gcn {loops} {dtype}", lambda: _known_norm(hag, loops, dtype))


def _known_norm(hag: HAG, loops: bool, dtype: torch.dtype) -> Norm:
    scale, loop = _make_norm(hag, loops, dtype)
    return scale, loop if loop is not None and bool(loop.any()) else None


def _make_norm(hag: HAG, loops: bool, dtype: torch.dtype) -> Norm:
    degree, present = degrees(hag)
    # With `loops` every node counts exactly one self-loop, however many it has:
    missing = 1 - present if loops else torch.zeros_like(present)
    scale = (degree + missing).to(dtype).pow(-0.5)
    scale = scale.masked_fill(scale == torch.inf, 0.0)
    return scale, missing.to(dtype) * scale * scale if loops else None
