"""GCN on a HAG."""

from torch_geometric.nn import GCNConv

from pyg_hag.nn.mixins.normalized import GCNConvMixin


class HAGGCNConv(GCNConvMixin, GCNConv):
    r"""The graph convolution on a HAG.

    .. math::
        \mathbf{X}^{\prime} = \mathbf{\hat{D}}^{-1/2} \mathbf{\hat{A}}
        \mathbf{\hat{D}}^{-1/2} \mathbf{X} \mathbf{\Theta}

    where :math:`\mathbf{\hat{A}} = \mathbf{A} + \mathbf{I}`, from `Semi-supervised
    Classification with Graph Convolutional Networks
    <https://arxiv.org/abs/1609.02907>`_ (Eq. 2). The weight of an edge is the product
    of a factor of its source and one of its destination, so sums can still be shared:
    nodes are scaled before and after an unweighted sum, which includes the self-loops.
    The factors are computed once per HAG, regardless of `cached`. Neighbours are added
    up before they pass through :math:`\mathbf{\Theta}` where that is predicted to take
    less time: the result differs by rounding.

    Arguments, parameters and outputs are those of
    :class:`torch_geometric.nn.GCNConv`; a `state_dict` can be loaded into either class.

    `forward(x, edge_index, edge_weight=None)` accepts a :class:`pyg_hag.HAG` or an
    `edge_index`. Edge weights on a HAG must be products of a source factor and a
    destination factor, which are computed from them.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` and a HAG
        - **output:** node features :math:`(|\mathcal{V}|, F_{out})`

    Raises:
        ValueError: If the HAG does not match the features, if edge weights are not such
            products or require a gradient, or if `aggr` is not sum.
    """

    pyg_class = GCNConv
