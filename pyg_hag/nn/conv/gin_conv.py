"""GIN over a HAG."""

from typing import Any

from torch import Tensor
from torch_geometric.nn import GINConv

from pyg_hag.hag import HAG
from pyg_hag.nn.conv._message_passing import (
    HAGMessagePassing,
    closed,
    propagate_hag,
)


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
        if (
            not isinstance(hag, HAG)
            or isinstance(x, tuple | list)
            or self.aggr not in ("add", "sum")
        ):
            out: Tensor = super().forward(x, edge_index, size)
            return out
        weight = (1 + self.eps).to(x.dtype).expand(hag.num_dst)
        if hag.is_signed:  # which may have added the nodes already
            hag, added = closed(hag)
            weight = weight if added is None else weight - added.to(x.dtype)
        # The node itself is a source and a destination:
        out = propagate_hag(self, hag, (x, x), size=size, self_scale=weight)
        return self.nn(out)
