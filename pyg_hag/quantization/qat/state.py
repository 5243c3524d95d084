"""QATState: what the layers of a model share in a forward pass."""

import weakref
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import AbstractHAG, plain_hag


class QATState:
    """The protected nodes of a forward pass, and the last graph as a HAG."""

    def __init__(self) -> None:
        self.protected_nodes: Tensor | None = None
        """Whether each node is protected, bool `[num_nodes]`; None if none is."""
        self._graph: tuple[Any, int, int, AbstractHAG] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"protected_nodes": None, "_graph": None}

    def protected_rows(self, x: Tensor) -> Tensor | None:
        """Which rows of node features are protected."""
        protected = self.protected_nodes
        if protected is not None and protected.numel() != x.size(0):
            raise ValueError(
                f"'protect_prob' has {protected.numel()} nodes, but a layer reads "
                f"{x.size(0)}: it must be that of the graph, and bipartite graphs need "
                f"'protect=False'"
            )
        return protected

    def hag_of(self, graph: Any, size: tuple[int, int]) -> AbstractHAG:
        """The graph as a HAG, which is without aggregates if it comes as edges.

        The HAG of the last `edge_index` is kept.
        """
        if isinstance(graph, AbstractHAG):
            return graph
        if torch.compiler.is_compiling():
            raise RuntimeError(
                "quantized layers need a HAG in compiled code: pass 'data.hag' of "
                "'HAGTransform()'"
            )
        if not isinstance(graph, Tensor):
            return plain_hag(graph, size=size)
        if graph.is_inference():  # it does not say whether it changes
            return plain_hag(graph, size=size)
        if self._graph is not None:
            known, version, rows, hag = self._graph
            if known() is graph and (version, rows) == (graph._version, size[0]):
                return hag
        hag = plain_hag(graph, size=size)
        self._graph = weakref.ref(graph), graph._version, size[0], hag
        return hag
