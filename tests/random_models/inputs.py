"""The tensors and the model of a case."""

import inspect
import random
from typing import Any

import torch
from torch import nn
from torch_geometric.utils import to_torch_csr_tensor

from random_models.cases import Case
from random_models.graphs import GRAPHS
from random_models.layers import WIDTH


class Inputs:
    """The tensors of a case."""

    def __init__(self, case: Case) -> None:
        rng = random.Random(case.seed + 1)
        generator = torch.Generator().manual_seed(case.seed)

        def rand(*shape):
            values = torch.rand(*shape, generator=generator, dtype=torch.double)
            return values.to(case.dtype)

        ends, self.size = GRAPHS[case.graph](rng)
        if case.weights == "learned":
            # PyG keeps a node's last loop, but gives gradients to all of them
            loops = {edge for edge in ends if edge[0] == edge[1]}
            ends = [edge for edge in ends if edge[0] != edge[1]] + sorted(loops)
        if case.options.get("order") == "sequential":  # PyG's LSTM wants them sorted
            ends = sorted(ends, key=lambda edge: edge[1])
        self.edges = torch.tensor(ends, dtype=torch.long).view(-1, 2).t().contiguous()
        num_edges, (n, m) = self.edges.size(1), self.size
        src, dst = self.edges
        shape = (2, n, WIDTH) if case.features == "static" else (n, WIDTH)
        self.x: Any = rand(*shape) * 2 - 1
        if case.features == "pair":
            self.x = self.x, rand(m, WIDTH)
        elif case.features != "x" and case.features != "static":
            self.x = self.x, None
        self.weight = {
            "none": lambda: None,
            "products": lambda: (rand(n) + 0.1)[src] * (rand(m) + 0.1)[dst],
            "random": lambda: rand(num_edges) + 0.1,
            "negative": lambda: rand(num_edges) - 0.5,
            "zeros": lambda: (rand(num_edges) > 0.5).to(case.dtype),
            "ones": lambda: torch.ones(num_edges, dtype=case.dtype),
            "whole": lambda: torch.full((num_edges,), 2),
            "bool": lambda: torch.ones(num_edges, dtype=torch.bool),
            "column": lambda: rand(num_edges, 1) + 0.1,
            "learned": lambda: (rand(num_edges) + 0.1).requires_grad_(),
            "double": lambda: rand(num_edges).double() + 0.1,
        }[case.weights]()
        self.attr = rand(num_edges, 1)
        self.type = torch.randint(0, 2, (num_edges,), generator=generator)

    def known(self, case):
        """What layers may take besides features and the graph, by name."""
        weight = self.weight if case.form in ("edges", "EdgeIndex") else None
        values = {
            "edge_weight": weight,
            "edge_attr": self.attr if case.has_attr else None,
            "edge_type": self.type,
            "size": self.size if case.features == "pair without destinations" else None,
        }
        if case.form not in ("edges", "EdgeIndex"):  # in the order of a matrix
            values = {"size": values["size"]}
        return {key: value for key, value in values.items() if value is not None}

    def graph(self, case):
        """The graph as PyG takes it."""
        num_src, num_dst = self.size
        if case.form == "edges":
            return self.edges
        if case.form == "EdgeIndex":
            from torch_geometric import EdgeIndex

            return EdgeIndex(self.edges, sparse_size=self.size)
        weight = self.weight
        if case.form == "SparseTensor":
            from torch_sparse import SparseTensor

            src, dst = self.edges
            return SparseTensor(
                row=dst, col=src, value=weight, sparse_sizes=(num_dst, num_src)
            )
        if weight is None:
            weight = torch.ones(self.edges.size(1), dtype=case.dtype)
        weight = weight.view(-1)
        if case.form == "csr":
            size = num_src, num_dst
            return (
                to_torch_csr_tensor(self.edges, weight, size=size).t().to_sparse_csr()
            )
        if weight is None:
            weight = torch.ones(self.edges.size(1), dtype=case.dtype)
        size = num_dst, num_src
        return torch.sparse_coo_tensor(self.edges.flip(0), weight, size).coalesce()


class Model(nn.Module):
    """Layers, one after the other, with an activation in between."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        torch.manual_seed(case.seed)
        made = []
        for cls, kwargs in case.layers:
            kwargs = {k: v() if inspect.isfunction(v) else v for k, v in kwargs.items()}
            made.append(cls(**kwargs))
        self.convs = nn.ModuleList(made)
        self.names = [
            [*inspect.signature(c.forward).parameters] for c, _ in case.layers
        ]

    def forward(self, x: Any, graph: Any, **known: Any) -> Any:
        first = x
        for i, (conv, names) in enumerate(zip(self.convs, self.names, strict=True)):
            args = {k: v for k, v in known.items() if k in names}
            for name in names:
                if name in ("x", "y"):
                    args[name] = x
                elif name == "x_0":
                    args[name] = first
                elif name.endswith("edge_index"):
                    args[name] = graph
            x = conv(**args)
            if i + 1 < len(self.convs):
                x = x[..., :WIDTH].relu() if i % 2 else x[..., :WIDTH].tanh()
        return x
