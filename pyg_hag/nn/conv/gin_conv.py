"""GIN over a HAG."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GINConv

from pyg_hag.hag import HAG
from pyg_hag.nn.conv._message_passing import HAGMessagePassing, closed

_SUMS = ("add", "sum")


class HAGGINConv(HAGMessagePassing, GINConv):
    r"""The graph isomorphism operator over a HAG.

    .. math::
        \mathbf{x}^{\prime}_i = h_{\mathbf{\Theta}} \left( (1 + \epsilon) \cdot
        \mathbf{x}_i + \sum_{j \in \mathcal{N}(i)} \mathbf{x}_j \right)

    from `How Powerful are Graph Neural Networks?
    <https://arxiv.org/abs/1810.00826>`_ (Eq. 4.1). Arguments, parameters and outputs
    are those of :class:`torch_geometric.nn.GINConv`; `state_dict` loads both ways.

    `forward(x, edge_index)` takes a :class:`pyg_hag.HAG` as well as an `edge_index`.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` or
          :math:`((|\mathcal{V}_s|, F_{in}), (|\mathcal{V}_t|, F_{in}))` if
          bipartite, and a HAG
        - **output:** node features :math:`(|\mathcal{V}_t|, F_{out})`

    Raises:
        ValueError: If the HAG does not fit the features, or `aggr` is not one of
            sum, mean, max and min.
    """

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """Convolves `x` on the graph of a HAG or of an `edge_index`."""
        hag = edge_index
        subtracts = isinstance(hag, HAG) and hag.is_signed and self.aggr in _SUMS
        if not subtracts or isinstance(x, tuple | list):
            out: Tensor = super().forward(x, edge_index, size)
            return out
        hag, added = closed(hag)
        out = self.propagate(hag, x=(x, x), size=size)
        weight = 1 + self.eps
        if added is not None:
            shape = [1] * x.dim()
            shape[self.node_dim] = -1
            weight = weight - added.to(x.dtype).view(shape)
        # Nothing is left to add where eps is 0 and all nodes have been:
        if torch.compiler.is_compiling() or weight.requires_grad or bool(weight.any()):
            out = out + weight * x
        return self.nn(out)
