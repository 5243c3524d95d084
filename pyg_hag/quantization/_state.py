"""What the layers of a model share in one forward pass."""

import weakref
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.search import build_hag


class Forward:
    """The protected nodes of this pass, and the graph of the last one."""

    def __init__(self) -> None:
        self.nodes: Tensor | None = None
        """Whether each node is protected, or None where nobody is."""
        self._graph: tuple[Any, int, int, HAG] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"nodes": None, "_graph": None}

    def protected(self, x: Tensor) -> Tensor | None:
        """Which rows of x are protected."""
        if self.nodes is not None and self.nodes.numel() != x.size(0):
            raise ValueError(
                f"'protect_prob' is given for {self.nodes.numel()} nodes, but a layer "
                f"reads {x.size(0)}: it must be that of the graph, and graphs between "
                f"two kinds of nodes need 'p_max=0'"
            )
        return self.nodes

    def hag_of(self, graph: Any, size: tuple[int, int]) -> HAG:
        """The graph as a HAG; that of the same edges before, without aggregates."""
        if isinstance(graph, HAG):
            return graph
        if torch.compiler.is_compiling():
            raise RuntimeError(
                "quantized layers take a HAG in compiled code: pass 'data.hag', of "
                "'HAGTransform()'"
            )
        if not isinstance(graph, Tensor):
            return build_hag(graph, size=size, capacity=0)
        if self._graph is not None:
            known, version, rows, hag = self._graph
            if known() is graph and (version, rows) == (graph._version, size[0]):
                return hag
        hag = build_hag(graph, size=size, capacity=0)
        self._graph = weakref.ref(graph), graph._version, size[0], hag
        return hag
