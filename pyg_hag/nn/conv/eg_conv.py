"""EGC on a HAG."""

from torch_geometric.nn import EGConv

from pyg_hag.nn.mixins.multi_aggregation import EGMixin


class HAGEGConv(EGMixin, EGConv):
    r"""The efficient graph convolution on a HAG: EGC-S and EGC-M.

    .. math::
        \mathbf{y}_i = {\LARGE \Vert}_{h=1}^H \sum_{\oplus \in \mathcal{A}}
        \sum_{b=1}^B w_i^{(h, \oplus, b)} \bigoplus_{j \in \mathcal{N}(i) \cup
        \{i\}} \mathbf{\Theta}_b \mathbf{x}_j

    where :math:`w_i` is linear in :math:`\mathbf{x}_i`, from `Do We Need Anisotropic
    Graph Neural Networks? <https://arxiv.org/abs/2104.01481>`_ (Eq. 3 and 5). No tensor
    has a row per edge, so memory is proportional to the number of nodes. All
    aggregators are computed in one pass over the HAG.

    Arguments, parameters and outputs are those of :class:`torch_geometric.nn.EGConv`;
    a `state_dict` can be loaded into either class. There is one difference, also on an
    `edge_index`: nodes after the last one with an edge get self-loops, too, which PyG's
    layer omits without `"symnorm"`.

    `forward(x, edge_index)` accepts a :class:`pyg_hag.HAG` or an `edge_index`.
    Self-loops are added to a HAG without a new search;
    `HAGTransform(add_self_loops=True)` searches with them and may share more.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` and a HAG
        - **output:** node features :math:`(|\mathcal{V}|, F_{out})`

    Raises:
        ValueError: If the HAG does not match the features, or if it is signed and an
            aggregator is not sum, mean or symnorm.
    """

    pyg_class = EGConv
