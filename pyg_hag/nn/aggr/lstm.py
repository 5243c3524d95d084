"""An LSTM over the neighbours of every node that runs shared prefixes once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import LSTMAggregation

from pyg_hag.hag import HAG, AbstractHAG, plain_hag
from pyg_hag.plan.sequential import SequentialPlan, sequential_plan


class HAGLSTMAggregation(LSTMAggregation):
    r"""Runs an LSTM over the neighbours of each node and returns its last state.

    .. math::
        \mathbf{y}_v = \mathrm{LSTM}(\mathbf{x}_{u_1}, \ldots, \mathbf{x}_{u_k})
        \quad \text{for} \quad \mathcal{N}(v) = (u_1, \ldots, u_k)

    from `Inductive Representation Learning on Large Graphs
    <https://arxiv.org/abs/1706.02216>`_ (Section 3.3). On a sequential HAG, a prefix
    that several nodes have in common is run once (Jia et al., KDD 2020, Section 3.2).
    All steps of one depth are one matrix product; products with inputs are computed
    once per source, not once per edge. The result is 0 for nodes without neighbours.

    Parameters are those of :class:`torch_geometric.nn.aggr.LSTMAggregation`; a
    `state_dict` can be loaded into either class. Results are those of
    :class:`torch.nn.LSTM` on each list of neighbours alone. PyG's results differ for
    lists of different lengths: it pads all lists to the longest, and its LSTM continues
    through the zeros.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample.
        **kwargs (optional): `num_layers` and `bias` of :class:`torch.nn.LSTM`.

    Shapes:
        - **input:** source features :math:`(|\mathcal{V}_s|, F_{in})` and a sequential
          HAG, or the arguments of PyG's aggregations
        - **output:** :math:`(|\mathcal{V}_t|, F_{out})`

    Raises:
        ValueError: If `bidirectional`, `dropout` or `proj_size` is set, or if the HAG
            is not sequential.
    """

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels, out_channels, **kwargs)
        for name in ("bidirectional", "dropout", "proj_size"):
            if kwargs.get(name):
                raise ValueError(
                    f"'{name}' must not be set (got {kwargs[name]!r}): with it, "
                    f"prefixes of neighbours cannot be shared"
                )

    def __call__(self, x: Tensor, index: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Calls :meth:`forward`."""
        if isinstance(index, AbstractHAG):  # PyG's checks reject it
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
        """Runs the LSTM over a sequential HAG, or over rows of x grouped by `index`."""
        if isinstance(index, AbstractHAG):
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
        hag = plain_hag(edges, size=(x.size(0), size), sequential=True)
        return lstm_over(x, hag, self.lstm)


def lstm_over(x: Tensor, hag: AbstractHAG, lstm: nn.LSTM) -> Tensor:
    """The last state of an LSTM over the neighbours of each destination.

    Args:
        x (torch.Tensor): Source features, `[num_src, F]`.
        hag (HAG): A sequential HAG.
        lstm (torch.nn.LSTM): A unidirectional LSTM.

    Returns:
        torch.Tensor: Hidden states of the last layer, `[num_dst, hidden_size]`.
    """
    plan = sequential_plan(hag)
    if x.dim() != 2 or x.size(0) != hag.num_src:
        raise ValueError(
            f"'x' must have shape [{hag.num_src}, F] (got {list(x.shape)})"
        )
    states = None
    for layer in range(lstm.num_layers):
        weights = [getattr(lstm, f"weight_{part}_l{layer}") for part in ("ih", "hh")]
        bias = None
        if lstm.bias:
            bias = sum(getattr(lstm, f"bias_{part}_l{layer}") for part in ("ih", "hh"))
        inputs = nn.functional.linear(x if states is None else states, weights[0], bias)
        if states is None:
            inputs = inputs.index_select(0, plan.src)
        states = _run(inputs, weights[1], plan)
    assert states is not None
    zeros = states.new_zeros(1, states.size(1))
    return torch.cat([states, zeros]).index_select(0, plan.last)


def _run(inputs: Tensor, weight: Tensor, plan: SequentialPlan) -> Tensor:
    """Runs one layer.

    Args:
        inputs: What the inputs add to the gates of each step, `[num_steps, 4 * H]`.
        weight: The recurrent weight, `[4 * H, H]`.
        plan: The steps, by depth.

    Returns:
        Hidden states of all steps, `[num_steps, H]`.
    """
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
