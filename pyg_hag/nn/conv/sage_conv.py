"""GraphSAGE on a HAG."""

from typing import Any

from torch_geometric.nn import SAGEConv

from pyg_hag.nn.aggr import HAGLSTMAggregation
from pyg_hag.nn.mixins.with_root import SAGEMixin


class HAGSAGEConv(SAGEMixin, SAGEConv):
    r"""The GraphSAGE operator on a HAG.

    .. math::
        \mathbf{x}^{\prime}_i = \mathbf{W}_1 \mathbf{x}_i + \mathbf{W}_2 \cdot
        \mathrm{aggr}_{j \in \mathcal{N}(i)} \mathbf{x}_j

    from `Inductive Representation Learning on Large Graphs
    <https://arxiv.org/abs/1706.02216>`_ (Algorithm 1), with `aggr` one of `"mean"`,
    `"max"`, `"sum"`, `"min"`, `"var"` and `"std"`, or a list of them. Arguments,
    parameters and outputs are those of :class:`torch_geometric.nn.SAGEConv`; a
    `state_dict` can be loaded into either class.

    With `aggr="lstm"`, on a sequential HAG, the aggregation is
    :class:`pyg_hag.nn.HAGLSTMAggregation`, which has PyG's parameters and the outputs
    of an LSTM on each list of neighbours alone.

    With sums and means, neighbours pass through :math:`\mathbf{W}_2` before they are
    added up where that is predicted to take less time: the result differs by rounding.

    `forward(x, edge_index)` accepts a :class:`pyg_hag.HAG` or an `edge_index`.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})` or
          :math:`((|\mathcal{V}_s|, F_{s}), (|\mathcal{V}_t|, F_{t}))` if bipartite,
          and a HAG
        - **output:** node features :math:`(|\mathcal{V}_t|, F_{out})`

    Raises:
        ValueError: If the HAG does not match the features, or if `aggr` is another one.
    """

    pyg_class = SAGEConv

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggr: Any = "mean",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if aggr == "lstm":
            size = in_channels if isinstance(in_channels, int) else in_channels[0]
            sizes = {"in_channels": size, "out_channels": size}
            given = kwargs.pop("aggr_kwargs", None) or {}
            aggr = HAGLSTMAggregation(**{**sizes, **given})
        super().__init__(in_channels, out_channels, aggr, *args, **kwargs)
