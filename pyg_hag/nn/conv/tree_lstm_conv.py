"""An N-ary Tree-LSTM that shares the sums over children."""

import torch
from torch import Tensor, nn
from torch_geometric.nn.inits import glorot

from pyg_hag.hag import HAG, AbstractHAG, plain_hag
from pyg_hag.plan.sequential import (
    NeighborSteps,
    SequentialPlan,
    neighbor_steps,
    sequential_plan,
)


class HAGTreeLSTMConv(nn.Module):
    r"""The N-ary Tree-LSTM over the neighbours of each node, in their order.

    Let :math:`j_1, \ldots, j_n` be the neighbours of node :math:`i`, its children:

    .. math::
        \begin{aligned}
        \mathbf{i}_i &= \sigma(\mathbf{W}^{(i)} \mathbf{x}_i +
            \sum_l \mathbf{U}^{(i)}_l \mathbf{h}_{j_l} + \mathbf{b}^{(i)}) \\
        \mathbf{f}_{ik} &= \sigma(\mathbf{W}^{(f)} \mathbf{x}_i +
            \sum_l \mathbf{U}^{(f)}_{kl} \mathbf{h}_{j_l} + \mathbf{b}^{(f)}) \\
        \mathbf{o}_i &= \sigma(\mathbf{W}^{(o)} \mathbf{x}_i +
            \sum_l \mathbf{U}^{(o)}_l \mathbf{h}_{j_l} + \mathbf{b}^{(o)}) \\
        \mathbf{u}_i &= \tanh(\mathbf{W}^{(u)} \mathbf{x}_i +
            \sum_l \mathbf{U}^{(u)}_l \mathbf{h}_{j_l} + \mathbf{b}^{(u)}) \\
        \mathbf{c}^\prime_i &= \mathbf{i}_i \odot \mathbf{u}_i +
            \sum_k \mathbf{f}_{ik} \odot \mathbf{c}_{j_k}, \quad
        \mathbf{h}^\prime_i = \mathbf{o}_i \odot \tanh(\mathbf{c}^\prime_i)
        \end{aligned}

    from `Improved Semantic Representations From Tree-Structured Long Short-Term Memory
    Networks <https://arxiv.org/abs/1503.00075>`_ (Section 3.2), as a layer of a graph
    network (Jia et al., KDD 2020, Table 1). On a sequential HAG, sums over a prefix of
    children that several nodes have in common are computed once.

    All nodes are updated at the same time in each round. On a tree whose edges lead
    from children to parents, as many rounds as the tree has levels give the states of
    the paper.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each state.
        num_children (int): Maximum number of neighbours of a node (N in the paper).
        num_rounds (int): Number of rounds, all with the same parameters.
        off_diagonal (bool): Whether a child's forget gate sees the other children;
            if False, :math:`\mathbf{U}^{(f)}_{kl}` is 0 for :math:`k \neq l`, as the
            paper proposes for large N.
        bias (bool): Whether to learn an additive bias.

    Shapes:
        - **input:** node features :math:`(|\mathcal{V}|, F_{in})`, a sequential HAG or
          an `edge_index`, which gives the order of the children, and, optionally,
          states `h` and `c`, each :math:`(|\mathcal{V}|, F_{out})`; by default 0
        - **output:** the states `h` and `c`, each :math:`(|\mathcal{V}|, F_{out})`

    Raises:
        ValueError: If the HAG is not sequential or does not match the features, or if a
            node has more than `num_children` neighbours.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_children: int,
        num_rounds: int = 1,
        off_diagonal: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("num_children", num_children), ("num_rounds", num_rounds)):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1 (got {value})")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.num_children, self.num_rounds = num_children, num_rounds
        self.off_diagonal = off_diagonal
        self.lin = nn.Linear(in_channels, 4 * out_channels, bias)
        width = 3 + (num_children if off_diagonal else 1)
        self.weight = nn.Parameter(
            torch.empty(num_children, out_channels, width * out_channels)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Resets all parameters."""
        self.lin.reset_parameters()
        glorot(self.weight)

    def forward(
        self,
        x: Tensor,
        edge_index: "HAG | Tensor",
        h: Tensor | None = None,
        c: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The states of all nodes after `num_rounds` rounds."""
        hag, size = edge_index, (x.size(0), x.size(0))
        if not isinstance(hag, AbstractHAG):
            hag = plain_hag(hag, size=size, sequential=True)
        plan, read = sequential_plan(hag), neighbor_steps(hag)
        self._check(x, hag, len(plan.sizes), h, c)
        inputs = self.lin(x)
        zeros = inputs.new_zeros(x.size(0), self.out_channels)
        h, c = zeros if h is None else h, zeros if c is None else c
        for _ in range(self.num_rounds):
            h, c = self._round(inputs, h, c, plan, read)
        return h, c

    def _round(
        self,
        inputs: Tensor,
        h: Tensor,
        c: Tensor,
        plan: SequentialPlan,
        read: NeighborSteps,
    ) -> tuple[Tensor, Tensor]:
        d = self.out_channels
        sums, alone = self._sums(h, plan)
        gates = inputs[:, : 3 * d] + sums[:, : 3 * d]
        new = gates[:, :d].sigmoid() * gates[:, 2 * d :].tanh()
        levels = zip(
            read.dst.split(read.sizes), read.step.split(read.sizes), strict=True
        )
        for level, (dst, step) in enumerate(levels):
            part = 3 + level
            if self.off_diagonal:
                other = sums[:, part * d : (part + 1) * d].index_select(0, dst)
            else:
                other = alone[level].index_select(0, step)
            forget = (inputs[:, 3 * d :].index_select(0, dst) + other).sigmoid()
            src = plan.src.split(plan.sizes)[level].index_select(0, step)
            new = new.index_add(0, dst, forget * c.index_select(0, src))
        return gates[:, d : 2 * d].sigmoid() * new.tanh(), new

    def _sums(self, h: Tensor, plan: SequentialPlan) -> tuple[Tensor, list[Tensor]]:
        """Sums over the children of each node, and each child's part of its own gate.

        Returns:
            Sums, `[num_nodes, ...]`, and for each level of the plan the terms of the
            forget gates, `[num_steps, F_out]` (empty if `off_diagonal`).
        """
        width = self.weight.size(2)  # of the sums
        if not self.off_diagonal:
            width -= self.out_channels
        sums: list[Tensor] = []
        alone: list[Tensor] = []
        levels = zip(
            plan.src.split(plan.sizes), plan.before.split(plan.sizes), strict=True
        )
        for level, (src, before) in enumerate(levels):
            weight = self.weight[level]
            if src.numel() > h.size(0):  # cheaper per node than per step
                added = (h @ weight).index_select(0, src)
            else:
                added = h.index_select(0, src) @ weight
            alone.append(added[:, width:])
            added = added[:, :width]
            sums.append(
                added + sums[-1].index_select(0, before) if level > 0 else added
            )
        sums.append(h.new_zeros(1, width))
        return torch.cat(sums).index_select(0, plan.last), alone

    def _check(
        self,
        x: Tensor,
        hag: AbstractHAG,
        longest: int,
        h: Tensor | None,
        c: Tensor | None,
    ) -> None:
        if hag.num_src != x.size(0) or hag.num_dst != x.size(0):
            raise ValueError(
                f"'edge_index' is a graph of {hag.num_src} sources and {hag.num_dst} "
                f"destinations, but 'x' has {x.size(0)} nodes: all must be equal"
            )
        if longest > self.num_children:
            raise ValueError(
                f"'edge_index' has a node with {longest} neighbours, but "
                f"'num_children' is {self.num_children}: increase it, or sample "
                f"neighbours"
            )
        for name, state in (("h", h), ("c", c)):
            shape = [x.size(0), self.out_channels]
            if state is not None and list(state.shape) != shape:
                raise ValueError(
                    f"'{name}' must have shape {shape} (got {list(state.shape)})"
                )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"num_children={self.num_children})"
        )
