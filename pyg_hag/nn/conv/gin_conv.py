"""GIN on a HAG."""

from torch_geometric.nn import GINConv

from pyg_hag.nn.mixins.with_root import GINMixin


class HAGGINConv(GINMixin, GINConv):
    r"""The graph isomorphism operator on a HAG.

    .. math::
        \mathbf{x}^{\prime}_i = h_{\mathbf{\Theta}} \left( (1 + \epsilon) \cdot
        \mathbf{x}_i + \sum_{j \in \mathcal{N}(i)} \mathbf{x}_j \right)

    from `How Powerful are Graph Neural Networks?
    <https://arxiv.org/abs/1810.00826>`_ (Eq. 4.1). Arguments, parameters and outputs
    are those of :class:`torch_geometric.nn.GINConv`; a `state_dict` can be loaded into
    either class.

    `forward(x, edge_index)` accepts a :class:`pyg_hag.HAG` or an `edge_index`.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` or
          :math:`((|\mathcal{V}_s|, F_{in}), (|\mathcal{V}_t|, F_{in}))` if
          bipartite, and a HAG
        - **output:** node features :math:`(|\mathcal{V}_t|, F_{out})`

    Raises:
        ValueError: If the HAG does not match the features, or if `aggr` is not one of
            sum, mean, max, min, var and std, or a list of them.
    """

    pyg_class = GINConv
