"""An LSTM over the neighbours of every node, each shared prefix run once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import LSTMAggregation

from pyg_hag._steps import Steps, steps
from pyg_hag.hag import HAG
from pyg_hag.search import build_hag


class HAGLSTMAggregation(LSTMAggregation):
    r"""Runs an LSTM over each node's neighbours and returns its last state.

    .. math::
        \mathbf{y}_v = \mathrm{LSTM}(\mathbf{x}_{u_1}, \ldots, \mathbf{x}_{u_k})
        \quad \text{for} \quad \mathcal{N}(v) = (u_1, \ldots, u_k)

    from `Inductive Representation Learning on Large Graphs
    <https://arxiv.org/abs/1706.02216>`_ (Section 3.3), over a sequential HAG: a prefix
    that several nodes share is run once (Jia et al., KDD 2020, Section 3.2). All steps
    of one depth are one matrix product; the products with inputs are made once per
    source, not once per edge. Nodes without neighbours get 0.

    Parameters are those of :class:`torch_geometric.nn.aggr.LSTMAggregation`;
    `state_dict` loads both ways. Results are those of :class:`torch.nn.LSTM` on every
    neighbour list alone. PyG's differ where lists differ in length: it pads them all to
    the longest, and its LSTM goes on through the zeros behind them.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample.
        **kwargs (optional): Further arguments of :class:`torch.nn.LSTM`: `num_layers`
            and `bias`.

    Shapes:
        - **input:** source features :math:`(|\mathcal{V}_s|, F_{in})` and a sequential
          HAG, or PyG's arguments of an aggregation
        - **output:** :math:`(|\mathcal{V}_t|, F_{out})`

    Raises:
        ValueError: If the LSTM runs both ways, drops out between its layers or projects
            its states, or the HAG is not sequential.
    """

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels, out_channels, **kwargs)
        for name in ("bidirectional", "dropout", "proj_size"):
            if kwargs.get(name):
                raise ValueError(
                    f"'{name}' must not be set (got {kwargs[name]!r}): prefixes of "
                    f"neighbours could not be shared"
                )

    def __call__(self, x: Tensor, index: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Calls :meth:`forward`."""
        if isinstance(index, HAG):  # which the checks of PyG do not know
            return nn.Module.__call__(self, x, index, *args, **kwargs)
        return super().__call__(x, index, *args, **kwargs)

    def forward(
        self,
        x: Tensor,
        index: "HAG | Tensor | None" = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        """Runs over a sequential HAG, or over the rows of x that `index` groups."""
        if isinstance(index, HAG):
            return lstm_over(x, index, self.lstm)
        if index is None or dim not in (0, -2) or x.dim() != 2:
            raise ValueError(
                "'HAGLSTMAggregation' needs a HAG, or messages of shape [num_edges, F] "
                "and their 'index'"
            )
        edges = torch.stack([torch.arange(x.size(0), device=x.device), index])
        size = dim_size
        if size is None:
            size = int(index.max()) + 1 if index.numel() > 0 else 0
        hag = build_hag(edges, size=(x.size(0), size), order="sequential", capacity=0)
        return lstm_over(x, hag, self.lstm)


def lstm_over(x: Tensor, hag: HAG, lstm: nn.LSTM) -> Tensor:
    """The last state of an LSTM over the neighbours of each destination.

    Args:
        x (torch.Tensor): Source features, `[num_src, F]`.
        hag (HAG): A sequential one.
        lstm (torch.nn.LSTM): Of one direction.
    """
    plan = steps(hag)
    if x.dim() != 2 or x.size(0) != hag.num_src:
        raise ValueError(
            f"'x' must have shape [{hag.num_src}, F] (got {list(x.shape)})"
        )
    states = None
    for layer in range(lstm.num_layers):
        weights = [getattr(lstm, f"weight_{kind}_l{layer}") for kind in ("ih", "hh")]
        bias = None
        if lstm.bias:
            bias = sum(getattr(lstm, f"bias_{kind}_l{layer}") for kind in ("ih", "hh"))
        inputs = nn.functional.linear(x if states is None else states, weights[0], bias)
        if states is None:
            inputs = inputs.index_select(0, plan.src)
        states = _run(inputs, weights[1], plan)
    assert states is not None
    none = states.new_zeros(1, states.size(1))
    return torch.cat([states, none]).index_select(0, plan.last)


def _run(inputs: Tensor, weight: Tensor, plan: Steps) -> Tensor:
    """The states of all steps, from what their inputs add to the gates."""
    states = []
    hidden = cell = None
    levels = zip(inputs.split(plan.sizes), plan.before.split(plan.sizes), strict=True)
    for gates, before in levels:
        if hidden is not None and cell is not None:
            gates = torch.addmm(gates, hidden.index_select(0, before), weight.t())
            cell = cell.index_select(0, before)
        i, f, g, o = gates.chunk(4, 1)
        added = i.sigmoid() * g.tanh()
        cell = added if cell is None else torch.addcmul(added, f.sigmoid(), cell)
        hidden = o.sigmoid() * cell.tanh()
        states.append(hidden)
    if not states:
        return inputs.new_zeros(0, weight.size(1))
    return torch.cat(states)
