"""EGC over a HAG."""

from torch_geometric.nn import EGConv

from pyg_hag.nn.conv._shared import Basis


class HAGEGConv(Basis, EGConv):
    r"""Efficient graph convolution over a HAG: EGC-S and EGC-M.

    .. math::
        \mathbf{y}_i = {\LARGE \Vert}_{h=1}^H \sum_{\oplus \in \mathcal{A}}
        \sum_{b=1}^B w_i^{(h, \oplus, b)} \bigoplus_{j \in \mathcal{N}(i) \cup
        \{i\}} \mathbf{\Theta}_b \mathbf{x}_j

    with :math:`w_i` linear in :math:`\mathbf{x}_i`, from `Do We Need Anisotropic Graph
    Neural Networks? <https://arxiv.org/abs/2104.01481>`_ (Eq. 3 and 5). Nothing is made
    for each edge, so memory is that of the nodes; all aggregators share one
    pass over the HAG.

    Arguments, parameters and outputs are those of :class:`torch_geometric.nn.EGConv`;
    `state_dict` loads both ways. One thing is different, on an `edge_index` too: nodes
    behind the last edge have self-loops as all others do, which PyG's layer forgets
    where it does not normalise.

    `forward(x, edge_index)` takes a :class:`pyg_hag.HAG` as well as an `edge_index`.
    Self-loops are added to a HAG without a new search, which joins groups:
    `HAGTransform(add_self_loops=True)` finds a HAG of closed neighbourhoods instead.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` and a HAG
        - **output:** node features :math:`(|\mathcal{V}|, F_{out})`

    Raises:
        ValueError: If the HAG does not fit the features, or subtracts and an
            aggregator is neither sum, mean nor symnorm.
    """

    _pyg_class = EGConv
