"""GCN over a HAG."""

from torch_geometric.nn import GCNConv

from pyg_hag.nn.conv._shared import Normalized


class HAGGCNConv(Normalized, GCNConv):
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
    :class:`torch_geometric.nn.GCNConv`; `state_dict` loads both ways.

    `forward(x, edge_index, edge_weight=None)` takes a :class:`pyg_hag.HAG` as well as
    an `edge_index`. Edge weights must then be products of a factor of the source and
    one of the destination, which are found.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` and a HAG
        - **output:** node features :math:`(|\mathcal{V}|, F_{out})`

    Raises:
        ValueError: If the HAG does not fit the features, or edge weights are no such
            products or require a gradient, or `aggr` is not sum.
    """

    _pyg_class = GCNConv
